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
from pathlib import Path
from typing import Any

from weightcast.errors import DataError, FormatError, WeightcastError
from weightcast.wire.header import Header, parse_header
from weightcast.wire.transmission import check
from weightcast_server.decode import decode
from weightcast_server.files import Folder
from weightcast_web import failpoints
from weightcast_web.imports import without_collection
from weightcast_web.worker_lines import orders, write

REPORT_EVERY_S = 0.1
MAX_EVALUATORS = 2
"""Evaluators kept ready; each number of images needs its own."""


class Progress:
    """Writes progress lines, not more often than every tenth of a second."""

    def __init__(self, id_: str) -> None:
        self._id, self._phase, self._next = id_, "", 0.0

    def report(self, phase: str, done: int, total: int) -> None:
        """Write a line if the phase is new or enough time has passed."""
        now = time.monotonic()
        if phase != self._phase or now >= self._next:
            self._phase, self._next = phase, now + REPORT_EVERY_S
            write({"id": self._id, "phase": phase, "done": done, "total": total})


class Examiner:
    """Keeps the test set and an evaluator ready; loads them at the first use or at start."""

    def __init__(self, cache: Path) -> None:
        self._cache = cache
        self._evaluators: dict[tuple[str, int | None], Any] = {}
        self._preparing: threading.Thread | None = None

    def evaluate(
        self, path: Path, header: Header, digest: str, progress: Progress
    ) -> dict[str, Any]:
        """Return the accuracy of a model file.

        Args:
            path: of the model.
            header: of the transmission that it came with.
            digest: SHA-256 that its weights must have.
            progress: is told of each batch.

        Raises:
            FormatError: these are not the weights that were decoded.
        """
        from weightcast.learning.architectures import architecture_of

        tensors = load(path, header, digest)

        evaluator = self._evaluator(architecture_of(check(header).layout), header.n_images)
        result = evaluator.evaluate(
            tensors, lambda done, total: progress.report("evaluating", done, total)
        )
        return {
            "accuracy": 100 * result.correct / result.n_images,
            "correct": result.correct,
            "n_images": result.n_images,
            "arithmetic": result.arithmetic,
        }

    def prepare(self, architecture: str) -> None:
        """Begin to load torch, the test set and an evaluator while a transmission is decoded."""
        self._preparing = threading.Thread(target=self._prepare, args=(architecture,), daemon=True)
        self._preparing.start()

    def wait(self) -> None:
        """Return when what was begun is done."""
        if self._preparing is not None:
            self._preparing.join()

    def _prepare(self, architecture: str) -> None:
        """Prepare; what is missing is told at the first use."""
        try:
            self._evaluator(architecture, None)
        except DataError as error:
            print(f"warning: {error}", file=sys.stderr, flush=True)

    def _evaluator(self, architecture: str, n_images: int | None) -> Any:
        with without_collection():
            from weightcast.learning import data
            from weightcast.learning.evaluation import Evaluator

        key = architecture, n_images
        if key not in self._evaluators:
            while len(self._evaluators) >= MAX_EVALUATORS:
                self._evaluators.pop(next(iter(self._evaluators)))
            test = data.load(self._cache, "test")
            self._evaluators[key] = Evaluator(
                architecture, test.images[:n_images], test.labels[:n_images]
            )
        return self._evaluators[key]


def load(path: Path, header: Header, digest: str) -> dict[str, Any]:
    """Return the tensors of a model file; arguments and errors as for `Examiner.evaluate`."""
    from safetensors.torch import load_file

    tensors = load_file(path)
    found = hashlib.sha256()
    for tensor in header.weight_tensors:
        found.update(tensors[tensor.name].numpy().data)
    if found.hexdigest() != digest:
        raise FormatError("the model on disk is not the one that was decoded")
    return tensors


def handle(order: dict[str, Any], examiner: Examiner) -> dict[str, Any]:
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
        if header.evaluate:
            progress.report("evaluating", 0, header.n_images or 10_000)
            failpoints.reach("evaluating")
            examiner.wait()
            began = time.perf_counter()
            report |= examiner.evaluate(folder.model, header, digest, progress)
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

    Arguments: cache folder, architecture or `-`, failpoint or nothing.
    """
    cache, architecture, failpoint = sys.argv[1:]
    failpoints.arm(failpoint, os.getppid())
    incoming = orders()
    examiner = Examiner(Path(cache))
    if architecture != "-":
        examiner.prepare(architecture)
    for order in incoming:
        write(handle(order, examiner))


if __name__ == "__main__":
    main()
