"""The main job: one model over the link, and what arrived of it."""

import hashlib
import os
import secrets
import tempfile
import time
from collections import deque
from collections.abc import Callable, Container, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from weightcast.arrays import Symbols, Weights, blocks
from weightcast.coding import Sent
from weightcast.errors import LinkError
from weightcast.experiment.crossing import facts_of, snr_of
from weightcast.measure.ledger import ErrorMeter, SymbolMeter, figures
from weightcast.models.weights import Model, open_model
from weightcast.pipeline import encode, plan_for
from weightcast.setup import Setup
from weightcast.wire.header import Header
from weightcast.wire.side import SideWriter
from weightcast.wire.symbols import cut_into_parts
from weightcast.wire.transmission import announce, ledger_of
from weightcast_client.sending.progress import Progress
from weightcast_client.sending.transport import Transport

_OPEN = ("created", "receiving")


@dataclass(frozen=True, slots=True, kw_only=True)
class Plans:
    """A plan, made once for all draws of the noise."""

    plan: Any
    seconds: float


def make_plan(model: Model, setup: Setup) -> Plans:
    """Plan the transmission."""
    began = time.perf_counter()
    plan = plan_for(model, setup, model.layout.weights)
    return Plans(plan=plan, seconds=time.perf_counter() - began)


def send(
    model: Model,
    setup: Setup,
    plans: Plans,
    transport: Transport,
    flights: int,
    progress: Progress,
    *,
    key: str | None = None,
    opened: Callable[[str], None] = lambda id_: None,
    keep: Callable[[Path], object] | None = None,
) -> dict[str, Any]:
    """Send a model once and return the result, with the keys of the command's JSON.

    Args:
        model: to be sent.
        setup: how, and with which draw of the noise.
        plans: from `make_plan`.
        transport: to the link.
        flights: parts on their way at once.
        progress: is told how far each phase is.
        key: what was sent under the same key before is gone on with; None: nothing was.
        opened: is told the transmission's id.
        keep: is given the file of the received model, as long as the call lasts.

    Raises:
        LinkError: the other end is not there, refuses or fails.
    """
    began = time.perf_counter()
    header = announce(model.name, model.layout, setup, plans.plan)
    id_, here = _open(header, transport, key)
    opened(id_)
    meter = SymbolMeter()
    with SideWriter(setup.scheme.side_names) as side:
        encoding = _send_parts(
            encode(model, setup.scheme, plans.plan),
            header,
            id_,
            here,
            transport,
            flights,
            progress,
            side,
            meter,
        )
        with tempfile.TemporaryFile() as file:
            lengths = side.write(file, model, plans.plan)
            side_bytes = file.seek(0, os.SEEK_END)
            if not here.side:
                transport.put_side(id_, file)
    transport.complete(id_)
    sent = time.perf_counter()
    report, error = _follow(model, id_, transport, progress, keep)
    ledger = ledger_of(header, lengths, side_bytes, setup.channel.capacity())
    return {
        "transmission": id_,
        **facts_of(model, setup),
        **figures(ledger, meter, error),
        **snr_of(setup.channel, meter.average_power),
        "weights_digest": report["weights_digest"],
        "accuracy": report.get("accuracy"),
        "correct": report.get("correct"),
        "clean_accuracy": None,
        "n_images": report.get("n_images", 0),
        "arithmetic": report.get("arithmetic"),
        "seconds": {
            "encode": plans.seconds + encoding,
            "send": sent - began - encoding,
            "decode": report["seconds"]["decode"],
            "evaluate": report["seconds"].get("evaluate", 0.0),
            "total": plans.seconds + time.perf_counter() - began,
        },
    }


@dataclass(frozen=True, slots=True)
class _Here:
    """What the receiver has of a transmission already."""

    parts: Container[int] = ()
    side: bool = False


def _open(header: Header, transport: Transport, key: str | None) -> tuple[str, _Here]:
    """Open a transmission, or go on with the one that this key has opened before."""
    text = header.to_bytes()
    if key is None:
        return transport.create(text, secrets.token_hex(16)), _Here()
    id_ = transport.create(text, key)
    state = transport.state(id_)["state"]
    if state == "expired":
        transport.delete(id_)
        return transport.create(text, key), _Here()
    if state not in _OPEN:
        return id_, _Here(range(header.n_parts), True)
    found = transport.arrived(id_)
    return id_, _Here(found["parts"], found["side"])


def _send_parts(
    encoded: Iterator[tuple[int, Weights, Sent]],
    header: Header,
    id_: str,
    here: _Here,
    transport: Transport,
    flights: int,
    progress: Progress,
    side: SideWriter,
    meter: SymbolMeter,
) -> float:
    """Encode, send the parts as they are ready; return the seconds spent waiting for symbols."""

    def symbols() -> Iterator[Symbols]:
        for at, block, sent in encoded:
            side.add(sent.side)
            meter.add(sent.symbols)
            progress.report("encode", at + len(block), header.n_weights)
            yield sent.symbols

    encoding = 0.0
    waiting: deque[Future[None]] = deque()
    pool = ThreadPoolExecutor(flights)
    try:
        parts = enumerate(cut_into_parts(symbols()))
        done = 0

        def report_one() -> None:
            nonlocal done
            done += 1
            progress.report("send", done, header.n_parts)

        def land() -> None:
            waiting.popleft().result()
            report_one()

        while True:
            began = time.perf_counter()
            n, part = next(parts, (-1, None))
            encoding += time.perf_counter() - began
            if part is None:
                break
            if n in here.parts:
                report_one()
                continue
            raw = part.astype("<f4", copy=False).view(np.uint8).data
            waiting.append(pool.submit(transport.put_part, id_, n, raw))
            if len(waiting) > flights:
                land()
        while waiting:
            land()
    except BaseException:
        transport.give_up()
        raise
    finally:
        pool.shutdown(cancel_futures=True)
    return encoding


def _follow(
    model: Model,
    id_: str,
    transport: Transport,
    progress: Progress,
    keep: Callable[[Path], object] | None,
) -> tuple[dict[str, Any], ErrorMeter]:
    """Show what the receiver does; return its report and the error of the model it has."""
    compared: tuple[ErrorMeter, str] | None = None
    with tempfile.TemporaryFile() as file:  # It has no name, so it goes when this process does.
        received = Path(f"/dev/fd/{file.fileno()}")
        for now in transport.events(id_):
            if now["state"] in ("evaluating", "done"):
                # As soon as it is decoded: the receiver evaluates meanwhile.
                compared = compared or _compare(model, id_, transport, received)
                progress.report("decode", model.layout.n_weights, model.layout.n_weights)
            work = now["progress"]
            if work is not None:
                name = {"decoding": "decode", "evaluating": "evaluate"}[work["phase"]]
                progress.report(name, work["done"], work["total"])
            if now["state"] == "done" and compared is not None:
                report: dict[str, Any] = now["report"]
                if "n_images" in report:
                    progress.report("evaluate", report["n_images"], report["n_images"])
                error, digest = compared
                if digest != report["weights_digest"]:
                    raise LinkError("the received model is not the one the receiver reports on")
                if keep is not None:
                    keep(received)
                return report, error
            if now["state"] in ("failed", "expired"):
                why = (now["error"] or {}).get("detail", "no reason given")
                raise LinkError(f"the receiver gave up ({now['state']}): {why}")
    raise LinkError("the receiver forgot the transmission")


def _compare(model: Model, id_: str, transport: Transport, path: Path) -> tuple[ErrorMeter, str]:
    """Fetch the received model to a file; return its error and the SHA-256 of its weights."""
    names = {tensor.name for tensor in model.layout.weights}
    meter = ErrorMeter()
    transport.save_model(id_, path)
    with open_model(path, lambda tensor: tensor.name in names) as received:
        found = hashlib.sha256()
        for (_, ours), (_, theirs) in zip(blocks(model), blocks(received), strict=True):
            found.update(theirs.data)
            meter.add(ours, theirs)
    return meter, found.hexdigest()
