"""Channels: what the link does to symbols."""

from weightcast.channels.awgn import AWGN
from weightcast.channels.base import Channel
from weightcast.channels.noiseless import Noiseless

CHANNELS: dict[str, type[Channel]] = {
    "awgn": AWGN,
    "noiseless": Noiseless,
}
DEFAULT_CHANNEL = "awgn"

__all__ = ["CHANNELS", "DEFAULT_CHANNEL", "Channel"]
