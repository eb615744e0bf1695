"""The worker process: decodes and evaluates one transmission at a time.

It reads one JSON object per line from standard input, {"id", "header", "folder", "parts", "side"}:
the last two are the digests of the parts in order and of the side information. It writes JSON lines
{"id", "phase", "done", "total"} on the way, then {"id", "report"} or {"id", "error"}. It ends at
once when standard input closes, whatever it is doing.
"""

import hashlib
import os
import sys
import threading
import time
from functools import partial
from pathlib import Path
from typing import Any

from weightcast import plugins
from weightcast.channels.noiseless import Noiseless
from weightcast.errors import DataError, FormatError, WeightcastError
from weightcast.experiment.examiner import Examiner
from weightcast.experiment.figures import accuracy_of
from weightcast.setup import KINDS, Setup
from weightcast.tasks.cifar10 import Cifar10
from weightcast.wire.header import parse_header
from weightcast.wire.transmission import Transmission, check
from weightcast_server.storing.files import Folder
from weightcast_server.working.decode import decode
from weightcast_web import failpoints
from weightcast_web.running.imports import without_collection
from weightcast_web.workers.lines import orders, write

REPORT_EVERY_S = 0.1


class Progress:
    """Progress lines, not more often than every tenth of a second."""

    def __init__(self, id_: str) -> None:
        self._id, self._phase, self._next = id_, "", 0.0

    def report(self, phase: str, done: int, total: int) -> None:
        """Write a line if the phase is new or enough time has passed."""
        now = time.monotonic()
        if phase != self._phase or now >= self._next:
            self._phase, self._next = phase, now + REPORT_EVERY_S
            write({"id": self._id, "phase": phase, "done": done, "total": total})


class Preparation:
    """Loading torch and the samples of the default task while something else is done.

    Args:
        examiner: that gets the samples.
    """

    def __init__(self, examiner: Examiner) -> None:
        self._examiner = examiner
        self._thread = threading.Thread(target=self._prepare, daemon=True)

    def begin(self) -> None:
        """Begin; what is missing is told at the first use."""
        self._thread.start()

    def wait(self) -> None:
        """Return when what was begun is done."""
        if self._thread.ident is not None:
            self._thread.join()

    def _prepare(self) -> None:
        with without_collection():
            import weightcast.evaluation.accuracy
            import weightcast.evaluation.loading  # noqa: F401
        setup = Setup(channel=Noiseless(), task=Cifar10())
        try:
            self._examiner.prepare(setup)
        except DataError as error:
            print(f"warning: {error}", file=sys.stderr, flush=True)


def load(path: Path, transmission: Transmission, digest: str) -> dict[str, Any]:
    """Return the tensors of a model file.

    Args:
        path: of the model.
        transmission: that it came with.
        digest: SHA-256 that its weights must have.

    Raises:
        FormatError: these are not the weights that were decoded.
    """
    from safetensors.torch import load_file

    tensors = load_file(path)
    found = hashlib.sha256()
    for tensor in transmission.layout.weights:
        found.update(tensors[tensor.name].numpy().data)
    if found.hexdigest() != digest:
        raise FormatError("the model on disk is not the one that was decoded")
    return tensors


def handle(order: dict[str, Any], examiner: Examiner, preparation: Preparation) -> dict[str, Any]:
    """Decode and evaluate; return the last line to write."""
    id_ = order["id"]
    progress = Progress(id_)
    try:
        header = parse_header(order["header"].encode(), len(order["header"]) * 4)
        folder = Folder(Path(order["folder"]))
        began = time.perf_counter()
        progress.report("decoding", 0, header.n_weights)
        failpoints.reach("decoding")
        digest = decode(
            header,
            folder,
            order["parts"],
            order["side"],
            lambda done, total: progress.report("decoding", done, total),
        )
        report: dict[str, Any] = {
            "weights_digest": digest,
            "seconds": {"decode": time.perf_counter() - began},
        }
        transmission = check(header)
        setup = transmission.setup
        if setup.task is not None:
            expected = setup.n_samples or setup.task.size(setup.split) or 0
            progress.report("evaluating", 0, expected)
            failpoints.reach("evaluating")
            preparation.wait()
            began = time.perf_counter()
            tensors = load(folder.model, transmission, digest)
            report |= accuracy_of(
                examiner.score(setup, tensors, partial(progress.report, "evaluating"))
            )
            report["seconds"]["evaluate"] = time.perf_counter() - began
        return {"id": id_, "report": report}
    except WeightcastError as error:
        return {"id": id_, "error": {"kind": type(error).__name__, "detail": str(error)}}
    except OSError as error:
        return {"id": id_, "error": {"kind": type(error).__name__, "detail": str(error.strerror)}}
    except MemoryError:
        return {"id": id_, "error": {"kind": "MemoryError", "detail": "out of memory"}}


def main() -> None:
    """Serve orders until standard input closes.

    Arguments: cache folder, `prepare` or `-`, failpoint or nothing, plug-ins.
    """
    cache, prepare, failpoint, *files = sys.argv[1:]
    failpoints.arm(failpoint, os.getppid())
    incoming = orders()
    for file in files:
        plugins.load(Path(file), KINDS)
    examiner = Examiner(Path(cache))
    preparation = Preparation(examiner)
    if prepare != "-":
        preparation.begin()
    for order in incoming:
        write(handle(order, examiner, preparation))


if __name__ == "__main__":
    main()
