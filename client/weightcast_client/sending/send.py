"""The main job: one model over the link, and what arrived of it."""

import os
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass

from weightcast.arrays import Symbols
from weightcast.experiment.figures import DrawResult, costs_of, ratios_of, subject_of
from weightcast.measure.ledger import Ledger, SymbolMeter
from weightcast.pipeline import encode
from weightcast.wire.header import Header
from weightcast.wire.side import SideWriter
from weightcast.wire.symbols import cut_into_parts
from weightcast.wire.transmission import announce, ledger_of
from weightcast_client.calling.transport import Transport
from weightcast_client.sending.following import follow
from weightcast_client.sending.opening import Opened, open_transmission
from weightcast_client.sending.parts import PartSender
from weightcast_client.sending.planning import PlannedSend
from weightcast_client.sending.watching import NOBODY, Watch


def send(
    what: PlannedSend,
    transport: Transport,
    flights: int,
    watch: Watch = NOBODY,
    *,
    key: str | None = None,
) -> DrawResult:
    """Send a model once and return the result, with the keys of the command's JSON.

    Args:
        what: to send, and with which draw of the noise.
        transport: to the link.
        flights: parts on their way at once.
        watch: is told how far it is.
        key: what was sent under the same key before is gone on with; None: nothing was.

    Raises:
        LinkError: the other end is not there, refuses or fails.
    """
    began = time.perf_counter()
    header = announce(what.model.name, what.model.layout, what.setup, what.plan)
    opened = open_transmission(header, transport, key)
    watch.opened(opened.id)
    delivered = _deliver(what, header, opened, transport, flights, watch)
    transport.complete(opened.id)
    sent = time.perf_counter()
    report, error = follow(what.model, opened.id, transport, watch)
    return {
        "transmission": opened.id,
        **subject_of(what.model, what.setup),
        **costs_of(delivered.ledger, delivered.symbols, error),
        **ratios_of(what.setup.channel, delivered.symbols.average_power),
        "weights_digest": report["weights_digest"],
        "accuracy": report.get("accuracy"),
        "correct": report.get("correct"),
        "clean_accuracy": None,
        "n_images": report.get("n_images", 0),
        "arithmetic": report.get("arithmetic"),
        "seconds": {
            "encode": what.seconds + delivered.encode_s,
            "send": sent - began - delivered.encode_s,
            "decode": report["seconds"]["decode"],
            "evaluate": report["seconds"].get("evaluate", 0.0),
            "total": what.seconds + time.perf_counter() - began,
        },
    }


@dataclass(frozen=True, slots=True)
class _Delivered:
    """Delivery to the receiver.

    Args:
        ledger: what it costs.
        symbols: their power and peak.
        encode_s: time spent waiting for symbols.
    """

    ledger: Ledger
    symbols: SymbolMeter
    encode_s: float


def _deliver(
    what: PlannedSend,
    header: Header,
    opened: Opened,
    transport: Transport,
    flights: int,
    watch: Watch,
) -> _Delivered:
    """Encode, send the parts as they are ready, then side information."""
    symbols = SymbolMeter()
    with SideWriter(what.setup.scheme.side_names) as side:
        parts = _Timed(cut_into_parts(_encoded(what, side, symbols, watch)))
        report = watch.report
        sender = PartSender(opened, transport, flights, lambda n: report("send", n, header.n_parts))
        sender.send(parts)
        with tempfile.TemporaryFile() as file:
            lengths = side.write(file, what.model, what.plan)
            side_bytes = file.seek(0, os.SEEK_END)
            if not opened.has_side:
                transport.put_side(opened.id, file)
    ledger = ledger_of(header, lengths, side_bytes, what.setup.channel.capacity())
    return _Delivered(ledger, symbols, parts.seconds)


def _encoded(
    what: PlannedSend, side: SideWriter, meter: SymbolMeter, watch: Watch
) -> Iterator[Symbols]:
    """Yield the symbols of each block, whose side bits and power are noted."""
    for at, block, sent in encode(what.model, what.setup.scheme, what.plan):
        side.add(sent.side)
        meter.add(sent.symbols)
        watch.report("encode", at + len(block), what.model.layout.n_weights)
        yield sent.symbols


class _Timed:
    """Parts, and the seconds that were spent waiting for them."""

    def __init__(self, parts: Iterator[Symbols]) -> None:
        self._parts, self.seconds = parts, 0.0

    def __iter__(self) -> Iterator[Symbols]:
        return self

    def __next__(self) -> Symbols:
        began = time.perf_counter()
        try:
            return next(self._parts)
        finally:
            self.seconds += time.perf_counter() - began
