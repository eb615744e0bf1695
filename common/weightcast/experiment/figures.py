"""Figures: what a send, its draws and a run report, under the names of `docs/results.md`.

They are JSON objects. A result of several kinds has the keys in the order of the docs.
"""

import math
from typing import Any, TypedDict

from weightcast.channels import Channel
from weightcast.channels.awgn import AWGN
from weightcast.measure.ledger import ErrorMeter, Ledger, SymbolMeter
from weightcast.measure.units import average_snr_db, peak_snr_db
from weightcast.models.weights import Model
from weightcast.registry import Spec, params_of
from weightcast.setup import Setup
from weightcast.tasks import Score


class Subject(TypedDict):
    """Subject of a result: what was sent, and how."""

    model: str
    scheme: str
    params: dict[str, Any]
    decoder: str
    channel: str
    std: float | None
    seed: int
    setup: Spec


class Costs(TypedDict):
    """Costs of a transmission, and the error of the weights that arrived."""

    n_weights: int
    n_symbols: int
    uses_per_weight: float
    side_bits: int
    carried_bits: int
    header_bits: int
    bits: dict[str, int]
    extra_uses: dict[str, float]
    all_in_uses_per_weight: float
    capacity: float | None
    average_power: float
    peak: float
    weight_mse: float
    sdr_db: float | None


class Delivery(Costs):
    """Delivery: what a transmission cost, and which weights arrived."""

    weights_digest: str


class Ratios(TypedDict):
    """Signal-to-noise ratios in dB; None for other channels than `awgn`."""

    peak_snr_db: float | None
    average_snr_db: float | None


class Accuracy(TypedDict, total=False):
    """Accuracy of a model that arrived, and before it was sent; empty without a task."""

    accuracy: float
    correct: int
    n_images: int
    arithmetic: str
    clean_accuracy: float


class InProcessResult(Subject, Delivery, Ratios, Accuracy):
    """Result of a send in this process."""


class RunResult(Delivery, Accuracy):
    """Result of a run of a sweep."""

    seconds: float


class DrawResult(Subject, Delivery, Ratios):
    """Result of one draw of a send over HTTP; None where no accuracy was asked for."""

    transmission: str
    accuracy: float | None
    correct: float | None
    clean_accuracy: float | None
    n_images: int
    arithmetic: str | None
    seconds: dict[str, float]


class Draws(TypedDict, total=False):
    """Draws of a send, if there are several: figures of each, and what the others are of them."""

    draws: int
    over_draws: dict[str, str]
    transmissions: list[str]
    weight_mses: list[float]
    sdrs_db: list[float | None]
    accuracy_mean: float
    accuracy_low: float
    accuracy_high: float
    accuracies: list[float]


class SendResult(DrawResult, Draws):
    """Result of a send over HTTP."""


def subject_of(model: Model, setup: Setup) -> Subject:
    """Return what was sent, and how."""
    return {
        "model": model.name,
        "scheme": setup.scheme.name,
        "params": params_of(setup.scheme),
        "decoder": setup.decoder.name,
        "channel": setup.channel.name,
        "std": getattr(setup.channel, "std", None),
        "seed": setup.seed,
        "setup": setup.spec(),
    }


def costs_of(ledger: Ledger, symbols: SymbolMeter, error: ErrorMeter) -> Costs:
    """Return the figures of a transmission; infinity is None."""
    return {
        "n_weights": ledger.n_weights,
        "n_symbols": ledger.n_symbols,
        "uses_per_weight": ledger.uses_per_weight,
        "side_bits": sum(ledger.side_bits.values()),
        "carried_bits": ledger.carried_bits,
        "header_bits": ledger.header_bits,
        "bits": ledger.bits,
        "extra_uses": ledger.extra_uses,
        "all_in_uses_per_weight": ledger.all_in_uses_per_weight,
        "capacity": _finite(ledger.capacity),
        "average_power": symbols.average_power,
        "peak": symbols.peak,
        "weight_mse": error.weight_mse,
        "sdr_db": _finite(error.sdr_db),
    }


def ratios_of(channel: Channel, average_power: float) -> Ratios:
    """Return peak and average SNR in dB."""
    std = channel.std if isinstance(channel, AWGN) else 0.0
    return {
        "peak_snr_db": peak_snr_db(std) if std else None,
        "average_snr_db": average_snr_db(std, average_power) if std and average_power else None,
    }


def accuracy_of(score: Score) -> Accuracy:
    """Return the figures of an evaluation."""
    return {
        "accuracy": score.accuracy,
        "correct": score.correct,
        "n_images": score.n_samples,
        "arithmetic": score.arithmetic,
    }


def _finite(value: float) -> float | None:
    return value if math.isfinite(value) else None
