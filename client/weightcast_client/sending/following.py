"""Following what the receiver does with a transmission, until it is done."""

import hashlib
import tempfile
from pathlib import Path

from weightcast.arrays import blocks
from weightcast.errors import LinkError
from weightcast.measure.ledger import ErrorMeter
from weightcast.models.weights import Model, open_model
from weightcast_client.calling.answers import Report
from weightcast_client.calling.transport import Transport
from weightcast_client.sending.watching import Watch

_PHASES = {"decoding": "decode", "evaluating": "evaluate"}


def follow(model: Model, id_: str, transport: Transport, watch: Watch) -> tuple[Report, ErrorMeter]:
    """Show what the receiver does; return its report and the error of the model it has."""
    compared: tuple[ErrorMeter, str] | None = None
    with tempfile.TemporaryFile() as file:  # It has no name, so it goes when this process does.
        received = Path(f"/dev/fd/{file.fileno()}")
        for now in transport.events(id_):
            if now["state"] in ("evaluating", "done"):
                # As soon as it is decoded: the receiver evaluates meanwhile.
                compared = compared or _compare(model, id_, transport, received)
                watch.report("decode", model.layout.n_weights, model.layout.n_weights)
            work, report = now["progress"], now["report"]
            if work is not None:
                watch.report(_PHASES[work["phase"]], work["done"], work["total"])
            if now["state"] == "done" and compared is not None and report is not None:
                if "n_images" in report:
                    watch.report("evaluate", report["n_images"], report["n_images"])
                error, digest = compared
                if digest != report["weights_digest"]:
                    raise LinkError("the received model is not the one the receiver reports on")
                if watch.received is not None:
                    watch.received(received)
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
