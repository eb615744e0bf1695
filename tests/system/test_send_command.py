"""Three real processes, the real model and the real test set."""

import json
import subprocess
import sys
from typing import Any

import pytest

from weightcast.models import zoo

pytestmark = [pytest.mark.cifar, pytest.mark.slow]

KEYS = {
    "transmission", "model", "scheme", "params", "channel", "std", "seed", "n_weights", "n_symbols",
    "uses_per_weight", "side_bits", "carried_bits", "all_in_uses_per_weight", "average_power",
    "peak", "weight_mse", "accuracy", "clean_accuracy", "n_images", "seconds",
}  # fmt: skip
"""What scripts rely on."""

N_IMAGES = 1000


def client_send(*words: str) -> dict[str, Any]:
    """Run `client send --json` and return what it prints."""
    ran = subprocess.run(
        [sys.executable, "-m", "weightcast_client.cli", "send", "--json", *words],
        capture_output=True,
        text=True,
        timeout=590,
    )
    assert ran.returncode == 0, ran.stderr
    assert ran.stderr == ""
    assert ran.stdout.count("\n") == 1
    result: dict[str, Any] = json.loads(ran.stdout)
    assert set(result) >= KEYS
    assert set(result["seconds"]) == {"encode", "send", "decode", "evaluate", "total"}
    return result


def test_without_noise_the_model_has_its_known_number_of_correct_images() -> None:
    result = client_send("--std=0")
    assert result["n_images"] == 10_000
    known = zoo.card(zoo.DEFAULT_MODEL)["test_correct_float32"]
    assert known == 9413
    # As many as the fast evaluation may differ from float32, see test_evaluation.py.
    assert abs(result["correct"] - known) <= 5
    assert result["clean_accuracy"] == result["accuracy"]
    assert result["weight_mse"] < 1e-12


def test_adaptive_redundancy_keeps_the_accuracy_at_the_papers_noise_and_costs_what_it_says() -> (
    None
):
    result = client_send("--std=0.1", f"--limit={N_IMAGES}")
    assert result["scheme"] == "adaptive-redundancy"
    assert result["accuracy"] > result["clean_accuracy"] - 1
    assert result["n_images"] == N_IMAGES
    assert result["n_weights"] == 11_164_352
    assert result["n_symbols"] == 11_227_334
    assert round(result["uses_per_weight"], 4) == 1.0056
    assert result["all_in_uses_per_weight"] == pytest.approx(1.43, abs=0.005)
    assert result["peak"] == 1
    assert (result["channel"], result["std"], result["seed"]) == ("awgn", 0.1, 0)


def test_unprotected_weights_do_not_survive_the_same_noise() -> None:
    result = client_send("--std=0.1", f"--limit={N_IMAGES}", "--scheme=unprotected")
    assert result["accuracy"] < 20
    assert result["side_bits"] == 0


def test_several_draws_give_a_mean_with_an_interval_around_it() -> None:
    result = client_send("--std=0.1", "--limit=100", "--scheme=sign-protection", "--repeat=3")
    assert len(set(result["transmissions"])) == 3
    assert len(result["accuracies"]) == 3
    assert (
        result["accuracy"]
        == result["accuracy_mean"]
        == pytest.approx(sum(result["accuracies"]) / 3)
    )
    assert result["accuracy_low"] <= result["accuracy_mean"] <= result["accuracy_high"]
