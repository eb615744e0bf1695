"""What every channel promises; a channel without a case here fails."""

import itertools

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from weightcast.channels import CHANNELS, Channel
from weightcast.channels.awgn import AWGN
from weightcast.channels.noiseless import Noiseless
from weightcast.randomness import Noise
from weightcast.registry import build, params_of

CASES: dict[str, list[Channel]] = {
    "awgn": [AWGN(std=0.0), AWGN(std=0.3), AWGN(std=1e6)],
    "noiseless": [Noiseless()],
}
every_channel = pytest.mark.parametrize(
    "channel", [case for cases in CASES.values() for case in cases], ids=repr
)
SYMBOLS = np.linspace(-1, 1, 5001, dtype=np.float32)


def test_every_channel_has_a_case() -> None:
    assert CASES.keys() == CHANNELS.keys()
    for name, cases in CASES.items():
        assert all(type(case) is CHANNELS[name] for case in cases)


@every_channel
def test_shape_and_type_are_kept_and_the_input_is_left_alone(channel: Channel) -> None:
    sent = SYMBOLS.copy()
    arrived = channel.transmit(sent, 0, Noise(seed=1))
    assert arrived.shape == sent.shape and arrived.dtype == np.float32
    assert arrived is not sent and np.array_equal(sent, SYMBOLS)
    assert np.isfinite(arrived).all()


@every_channel
def test_no_symbols_are_fine(channel: Channel) -> None:
    assert channel.transmit(np.zeros(0, np.float32), 7, Noise(seed=1)).shape == (0,)


@every_channel
def test_a_seed_repeats(channel: Channel) -> None:
    first, again = (channel.transmit(SYMBOLS, 9, Noise(seed=1)) for _ in range(2))
    assert np.array_equal(first, again)


@every_channel
@given(cuts=st.lists(st.integers(0, len(SYMBOLS)), max_size=4), at=st.integers(0, 2**44))
def test_however_the_symbols_are_cut_each_meets_the_same_noise(
    channel: Channel, cuts: list[int], at: int
) -> None:
    noise = Noise(seed=2, stream=3)
    ends = sorted([0, *cuts, len(SYMBOLS)])
    pieces = [channel.transmit(SYMBOLS[i:j], at + i, noise) for i, j in itertools.pairwise(ends)]
    assert np.array_equal(channel.transmit(SYMBOLS, at, noise), np.concatenate(pieces))


@every_channel
def test_capacity_is_positive_and_params_survive_a_header(channel: Channel) -> None:
    assert channel.capacity() > 0
    name = next(name for name, cls in CHANNELS.items() if type(channel) is cls)
    assert build(CHANNELS, name, params_of(channel), "channel") == channel


@every_channel
def test_a_channel_that_says_it_is_clean_changes_nothing(channel: Channel) -> None:
    if channel.is_clean:
        assert np.array_equal(channel.transmit(SYMBOLS, 0, Noise(seed=1)), SYMBOLS)
