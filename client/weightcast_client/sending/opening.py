"""Opening of a transmission, or going on with one of which a part has arrived before."""

import secrets
from collections.abc import Container
from dataclasses import dataclass

from weightcast.wire.header import Header
from weightcast_client.calling.transport import Transport

_OPEN = ("created", "receiving")


@dataclass(frozen=True, slots=True, kw_only=True)
class Opened:
    """A transmission at the receiver.

    Args:
        id: of the transmission.
        parts: numbers of those that have arrived already.
        has_side: whether side information has.
    """

    id: str
    parts: Container[int] = ()
    has_side: bool = False


def open_transmission(header: Header, transport: Transport, key: str | None) -> Opened:
    """Open a transmission, or go on with the one that this key has opened before."""
    text = header.to_bytes()
    if key is None:
        return Opened(id=transport.create(text, secrets.token_hex(16)))
    id_ = transport.create(text, key)
    state = transport.state(id_)["state"]
    if state == "expired":
        transport.delete(id_)
        return Opened(id=transport.create(text, key))
    if state not in _OPEN:
        return Opened(id=id_, parts=range(header.n_parts), has_side=True)
    found = transport.arrived(id_)
    return Opened(id=id_, parts=found["parts"], has_side=found["side"])
