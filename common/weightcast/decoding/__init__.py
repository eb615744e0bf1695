"""Decoders: how the receiver estimates a symbol from what arrived."""

from weightcast.decoding.base import Decoder, Prior, Scope, Values
from weightcast.decoding.clipped import Clipped
from weightcast.decoding.half_normal import HalfNormal
from weightcast.decoding.inversion import Inversion
from weightcast.decoding.laplace import Laplace
from weightcast.decoding.lmmse import Lmmse
from weightcast.registry import Kind

DECODERS: Kind[Decoder] = Kind(
    "decoder", ("estimate", "scope"), (Inversion, Clipped, Lmmse, HalfNormal, Laplace)
)
DEFAULT_DECODER = Inversion.name

__all__ = ["DECODERS", "DEFAULT_DECODER", "Decoder", "Prior", "Scope", "Values"]
