"""What options of the command line stand for."""

from typing import Any

import pytest

from weightcast.channels.awgn import AWGN
from weightcast.errors import ParameterError
from weightcast.setup import Setup
from weightcast_client.options import pairs, setup_spec, std_of


def spec(**changes: Any) -> Any:
    """Return the setup of a command line with these options."""
    plain = {
        "scheme": ("adaptive-redundancy", None),
        "decoder": ("inversion", None),
        "channel": ("awgn", None),
        "task": (None, None),
        "std": None,
    }
    return setup_spec(**plain | changes)


def test_pairs_are_split_at_the_first_equals_sign() -> None:
    assert pairs(None) == pairs([]) == {}
    assert pairs(["a=1", "b=", "c=d=e"]) == {"a": "1", "b": "", "c": "d=e"}


@pytest.mark.parametrize("text", ["a", "", "=", "=1"])
def test_what_is_no_pair_is_refused(text: str) -> None:
    with pytest.raises(ParameterError, match=f"expected key=value, got '{text}'"):
        pairs(["b=2", text])


@pytest.mark.parametrize("second", ["2", "3"])
def test_a_key_given_twice_is_refused_even_with_the_same_value(second: str) -> None:
    with pytest.raises(ParameterError, match=f"'a' is given twice: 2 and {second}"):
        pairs(["a=2", "b=1", f"a={second}"])


def test_std_and_snr_say_the_same_thing() -> None:
    assert std_of(None, None) is None
    assert std_of(0.3, None) == 0.3
    assert std_of(0.0, None) == 0.0
    assert std_of(None, 20.0) == 0.1
    assert std_of(None, 0.0) == 1.0
    with pytest.raises(ParameterError, match="--std and --snr-db say the same thing: give one"):
        std_of(0.1, 20.0)


def test_a_peak_snr_of_20_db_is_the_same_setup_as_a_std_of_a_tenth() -> None:
    by_std, by_snr = (spec(std=std_of(*given)) for given in ((0.1, None), (None, 20.0)))
    assert by_std == by_snr
    assert Setup.from_spec(by_snr, from_text=True).channel == AWGN(std=0.1)


def test_options_are_the_params_of_what_they_belong_to() -> None:
    found = spec(
        scheme=("adaptive-redundancy", ["r_large=20", "n_large=none"]),
        decoder=("clipped", ["limit=2"]),
        channel=("awgn", None),
        task=("mnist", ["model=cnn"]),
        std=0.1,
        seed=3,
        n_samples=100,
    )
    assert found == {
        "scheme": {"name": "adaptive-redundancy", "r_large": "20", "n_large": "none"},
        "decoder": {"name": "clipped", "limit": "2"},
        "channel": {"name": "awgn", "std": 0.1},
        "task": {"name": "mnist", "model": "cnn"},
        "seed": 3,
        "n_samples": 100,
    }
    setup = Setup.from_spec(found, from_text=True)
    assert setup.spec()["scheme"]["r_large"] == 20
    assert setup.spec()["scheme"]["n_large"] is None
    assert setup.spec()["decoder"] == {"name": "clipped", "limit": 2.0}
    assert setup.spec()["task"] == {"name": "mnist", "model": "cnn"}


def test_std_is_a_param_of_the_channel() -> None:
    assert spec(std=0.1)["channel"] == {"name": "awgn", "std": 0.1}
    assert spec(channel=("awgn", ["std=0.3"]))["channel"] == {"name": "awgn", "std": "0.3"}


def test_a_channel_made_of_others_is_given_as_json() -> None:
    stages = '[{"name": "awgn", "std": 0.3}, "noiseless"]'
    setup = Setup.from_spec(spec(channel=("cascade", [f"stages={stages}"])), from_text=True)
    assert setup.spec()["channel"] == {
        "name": "cascade",
        "stages": [{"name": "awgn", "std": 0.3}, {"name": "noiseless"}],
    }


def test_without_a_task_the_model_says_it_and_without_evaluation_there_is_none() -> None:
    assert "task" not in spec()
    assert spec(task=None)["task"] is None
    assert spec(task=("cifar10", None))["task"] == {"name": "cifar10"}


def test_params_of_no_task_are_refused() -> None:
    with pytest.raises(ParameterError, match="--task-set needs --task"):
        spec(task=(None, ["model=cnn"]))


def test_a_std_given_in_two_ways_is_refused() -> None:
    with pytest.raises(ParameterError, match=r"std is given twice: 0\.2 and 0\.1"):
        spec(channel=("awgn", ["std=0.2"]), std=0.1)
