"""What `client send` and the sender service do: all draws of the noise, and the result of them."""

import hashlib
import os
from collections.abc import Callable, Iterable
from dataclasses import replace
from pathlib import Path
from typing import Any

from weightcast.experiment.examiner import ensure
from weightcast.measure.intervals import mean_and_interval
from weightcast.models.weights import Model
from weightcast.setup import Setup
from weightcast_client.sending.clean import clean_accuracy
from weightcast_client.sending.progress import Progress
from weightcast_client.sending.send import Plans, send
from weightcast_client.sending.transport import Transport
from weightcast_client.settings import Settings


def send_draws(
    model: Model,
    setup: Setup,
    plans: Plans,
    n_draws: int,
    transport: Transport,
    settings: Settings,
    progress: Progress,
    *,
    key: str | None = None,
    done: Iterable[dict[str, Any]] = (),
    opened: Callable[[str], None] = lambda id_: None,
    arrived: Callable[[dict[str, Any]], None] = lambda result: None,
    keep: Callable[[Path], object] | None = None,
) -> dict[str, Any]:
    """Send a model once per draw and return the result, with the keys of `docs/results.md`.

    Args:
        model, setup, plans: what to send, and how; the draws count from that of the setup.
        n_draws: independent draws of the noise.
        transport: to the link.
        settings: of the sender.
        progress: is told how far each phase is.
        key: what was sent under the same key before is gone on with; None: nothing was.
        done: results of the first draws, if they are known already.
        opened: is told the id of each transmission when it begins.
        arrived: is told the result of each draw.
        keep: is given the file of each received model, as long as the call lasts.

    Raises:
        WeightcastError: the model cannot be sent or evaluated.
    """
    ensure(setup, settings.cache, progress.report)
    results = list(done)
    for draw in range(len(results), n_draws):
        result = send(
            model,
            replace(setup, draw=setup.draw + draw),
            plans,
            transport,
            settings.flights,
            progress,
            key=None if key is None else _key_of(key, draw),
            opened=opened,
            keep=keep,
        )
        arrived(result)
        results.append(result)
    result = _summary(results)
    if setup.task is not None:
        result["clean_accuracy"] = clean_accuracy(
            model, setup, settings.cache, result["arithmetic"], progress
        )
    return result


def _key_of(key: str, draw: int) -> str:
    """Return the idempotency key of a draw, whatever characters the key of all draws has."""
    return hashlib.sha256(os.fsencode(f"{key} {draw}")).hexdigest()


def _summary(results: list[dict[str, Any]]) -> dict[str, Any]:
    """Return the result of one draw, or the mean over several with its interval."""
    first = results[0]
    if len(results) == 1:
        return first
    seconds = {k: sum(r["seconds"][k] for r in results) for k in first["seconds"]}
    summary = first | {
        "transmissions": [r["transmission"] for r in results],
        "weight_mse": sum(r["weight_mse"] for r in results) / len(results),
        "seconds": seconds,
    }
    if first["accuracy"] is not None:
        accuracies = [r["accuracy"] for r in results]
        mean, low, high = mean_and_interval(accuracies)
        summary |= {
            "accuracy": mean,
            "accuracy_mean": mean,
            "accuracy_low": low,
            "accuracy_high": high,
            "accuracies": accuracies,
        }
    return summary
