"""The worker process: does one send at a time.

It reads one JSON object per line from standard input, {"id", "body", "draws"} with the results of
the draws that are done, and writes JSON lines: {"id", "draw", "draws", "phases"} with how far a
draw is, {"id", "transmission"} when one begins, {"id", "arrived"} with the result of a draw, and at
the end {"id", "result"} or {"id", "error"}. It ends at once when standard input closes.
"""

import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from weightcast.errors import WeightcastError
from weightcast.experiment.figures import DrawResult
from weightcast.setup import KINDS
from weightcast_client.calling.transport import transport_to
from weightcast_client.sending.draws import send_draws
from weightcast_client.sending.planning import plan_send
from weightcast_client.sending.watching import Watch
from weightcast_client.service.bodies import SendBody
from weightcast_client.settings import Settings
from weightcast_web.workers.lines import orders, write

REPORT_EVERY_S = 0.1


class SendLines:
    """Lines on what happens to a send, its progress not more often than every tenth of a second.

    Args:
        id_: of the send.
        n_done: draws that are done already.
        n_draws: of the send.
    """

    def __init__(self, id_: str, n_done: int, n_draws: int) -> None:
        self._id, self._draw, self._n_draws = id_, n_done, n_draws
        self._phases: dict[str, dict[str, int]] = {}
        self._next = 0.0

    def report(self, name: str, done: int, total: int, /) -> None:
        """Write how far all phases of this draw are, if one is new or over or it is time."""
        is_due = name not in self._phases or done == total or time.monotonic() >= self._next
        self._phases[name] = {"done": done, "total": total}
        if is_due:
            self._next = time.monotonic() + REPORT_EVERY_S
            self._write(draw=self._draw, draws=self._n_draws, phases=self._phases)

    def opened(self, transmission: str) -> None:
        """Write that a draw begins."""
        self._phases.clear()
        self._write(transmission=transmission)

    def arrived(self, result: DrawResult) -> None:
        """Write that a draw is done."""
        self._draw += 1
        self._phases.clear()
        self._write(arrived=result)

    def _write(self, **fields: Any) -> None:
        write({"id": self._id, **fields})


def handle(order: dict[str, Any], settings: Settings) -> dict[str, Any]:
    """Do a send; return the last line to write."""
    assert settings.link is not None
    id_ = order["id"]
    try:
        body = SendBody.model_validate_json(order["body"])
        lines = SendLines(id_, len(order["draws"]), body.repeat)
        with (
            body.open(settings.models) as (model, setup),
            transport_to(settings.link, settings, settings.patience) as transport,
        ):
            result = send_draws(
                plan_send(model, setup),
                body.repeat,
                transport,
                settings,
                Watch(report=lines.report, opened=lines.opened, arrived=lines.arrived),
                key=id_,
                done=order["draws"],
            )
        return {"id": id_, "result": result}
    except (WeightcastError, OSError) as error:
        text = str(error) if isinstance(error, WeightcastError) else str(error.strerror)
        return {"id": id_, "error": {"kind": type(error).__name__, "detail": text}}
    except MemoryError:
        return {"id": id_, "error": {"kind": "MemoryError", "detail": "out of memory"}}


def main() -> None:
    """Serve orders until standard input closes; argument: the scratch folder."""
    incoming = orders()
    settings = Settings()
    settings.load_plugins(KINDS)
    tempfile.tempdir = str(Path(sys.argv[1]).absolute())
    for order in incoming:
        write(handle(order, settings))


if __name__ == "__main__":
    main()
