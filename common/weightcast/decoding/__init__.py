"""Decoders: how the receiver estimates a symbol from what arrived."""

from weightcast.decoding.base import Decoder, Prior, Values
from weightcast.decoding.clipped import Clipped
from weightcast.decoding.inversion import Inversion
from weightcast.registry import Kind

DECODERS: Kind[Decoder] = Kind("decoder", ("estimate",), (Inversion, Clipped))
DEFAULT_DECODER = Inversion.name

__all__ = ["DECODERS", "DEFAULT_DECODER", "Decoder", "Prior", "Values"]
