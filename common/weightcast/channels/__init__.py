"""Channels: what the link does to symbols."""

from weightcast.channels.awgn import AWGN
from weightcast.channels.base import Channel, State
from weightcast.channels.cascade import Cascade
from weightcast.channels.erasures import Erasures
from weightcast.channels.fading.rayleigh import Rayleigh
from weightcast.channels.fading.rician import Rician
from weightcast.channels.noiseless import Noiseless
from weightcast.registry import Kind

CHANNELS: Kind[Channel] = Kind(
    "channel",
    ("transmit", "state", "capacity", "is_clean"),
    (AWGN, Noiseless, Rayleigh, Rician, Erasures, Cascade),
)
DEFAULT_CHANNEL = AWGN.name

__all__ = ["CHANNELS", "DEFAULT_CHANNEL", "Channel", "State"]
