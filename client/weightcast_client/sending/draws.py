"""Draws: what `client send` and the sender service do, and the result of all of them."""

import hashlib
import os
from collections.abc import Iterable, Sequence
from statistics import fmean

from weightcast.experiment.examiner import ensure
from weightcast.experiment.figures import DrawResult, Draws, SendResult
from weightcast.measure.intervals import mean_and_interval
from weightcast_client.calling.transport import Transport
from weightcast_client.sending.clean import clean_accuracy
from weightcast_client.sending.planning import PlannedSend
from weightcast_client.sending.send import send
from weightcast_client.sending.watching import NOBODY, Watch
from weightcast_client.settings import Settings

_MEANS = ("accuracy", "correct", "weight_mse", "sdr_db")


def send_draws(
    what: PlannedSend,
    draws: int,
    transport: Transport,
    settings: Settings,
    watch: Watch = NOBODY,
    *,
    key: str | None = None,
    done: Iterable[DrawResult] = (),
) -> SendResult:
    """Send a model once per draw and return the result, with the keys of `docs/results.md`.

    Args:
        what: to send; the draws count from that of its setup.
        draws: of the noise, independent.
        transport: to the link.
        settings: of the sender.
        watch: is told how far it is.
        key: what was sent under the same key before is gone on with; None: nothing was.
        done: results of the first draws, if they are known already.

    Raises:
        WeightcastError: the model cannot be sent or evaluated.
    """
    setup = what.setup
    ensure(setup, settings.cache, watch.report)
    results = list(done)
    for draw in range(len(results), draws):
        drawn = what.with_draw(setup.draw + draw)
        own_key = None if key is None else _key_of(key, draw)
        results.append(send(drawn, transport, settings.flights, watch, key=own_key))
        watch.arrived(results[-1])
    result = _summary(results)
    if setup.task is not None:
        result["clean_accuracy"] = clean_accuracy(
            what.model, setup, settings.cache, result["arithmetic"], watch.report
        )
    return result


def _key_of(key: str, draw: int) -> str:
    """Return the idempotency key of a draw, whatever characters the key of all draws has."""
    return hashlib.sha256(os.fsencode(f"{key} {draw}")).hexdigest()


def _summary(results: list[DrawResult]) -> SendResult:
    """Return the result of one draw, or the means over several with the interval of the accuracy.

    Whatever differs from draw to draw stands in `over_draws`, with what became of it.
    """
    first, several = results[0], Draws()
    if len(results) == 1:
        return {**first, **several}
    several["draws"] = len(results)
    several["over_draws"] = dict.fromkeys(_MEANS, "mean") | {
        "seconds": "sum",
        "transmission": "first",
        "weights_digest": "first",
    }
    several["transmissions"] = [result["transmission"] for result in results]
    several["weight_mses"] = [result["weight_mse"] for result in results]
    several["sdrs_db"] = [result["sdr_db"] for result in results]
    accuracies = [a for result in results if (a := result["accuracy"]) is not None]
    if accuracies:
        mean, low, high = mean_and_interval(accuracies)
        several |= {
            "accuracy_mean": mean,
            "accuracy_low": low,
            "accuracy_high": high,
            "accuracies": accuracies,
        }
    return {
        **first,
        "accuracy": several.get("accuracy_mean"),
        "correct": _mean([result["correct"] for result in results]),
        "weight_mse": sum(several["weight_mses"]) / len(results),
        "sdr_db": _mean(several["sdrs_db"]),
        "seconds": {k: sum(r["seconds"][k] for r in results) for k in first["seconds"]},
        **several,
    }


def _mean(values: Sequence[float | None]) -> float | None:
    """Return the mean; None where there is none: nothing was asked for, or one is infinite."""
    known = [value for value in values if value is not None]
    return fmean(known) if known and len(known) == len(values) else None
