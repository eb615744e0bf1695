"""What `client send` and the sender service do: all draws of the noise, and the result of them."""

import hashlib
import os
from collections.abc import Callable, Iterable
from typing import Any

from weightcast.intervals import mean_and_interval
from weightcast.learning import data as cifar10
from weightcast_client.clean import clean_accuracy
from weightcast_client.order import Order
from weightcast_client.progress import Progress
from weightcast_client.send import Plans, send
from weightcast_client.settings import Settings
from weightcast_client.transport import Transport


def send_draws(
    order: Order,
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
) -> dict[str, Any]:
    """Send a model once per draw and return the result, with the keys of `docs/results.md`.

    Args:
        order, plans: what to send.
        n_draws: independent draws of the noise.
        transport: to the link.
        settings: of the sender.
        progress: is told how far each phase is.
        key: what was sent under the same key before is gone on with; None: nothing was.
        done: results of the first draws, if they are known already.
        opened: is told the id of each transmission when it begins.
        arrived: is told the result of each draw.

    Raises:
        WeightcastError: the model cannot be sent or evaluated.
    """
    if order.evaluate:
        cifar10.ensure(settings.cache, progress.report)
    results = list(done)
    for draw in range(len(results), n_draws):
        result = send(
            order,
            plans,
            draw,
            transport,
            settings.flights,
            progress,
            key=None if key is None else _key_of(key, draw),
            opened=opened,
        )
        arrived(result)
        results.append(result)
    result = _summary(results)
    if order.evaluate:
        result["clean_accuracy"] = clean_accuracy(
            order.model, settings.cache, order.n_images, result["arithmetic"], progress
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
