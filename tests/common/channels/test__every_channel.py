"""What every channel promises; a channel without a case here fails."""

import itertools
import json

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from weightcast.channels import CHANNELS, Channel
from weightcast.channels.awgn import AWGN
from weightcast.channels.cascade import Cascade
from weightcast.channels.erasures import Erasures
from weightcast.channels.fading.rayleigh import Rayleigh
from weightcast.channels.fading.rician import Rician
from weightcast.channels.noiseless import Noiseless
from weightcast.noise.gaussian import Noise
from weightcast.registry import build, spec_of

CASES: dict[str, list[Channel]] = {
    "awgn": [AWGN(std=0.0), AWGN(std=0.3), AWGN(std=1e6)],
    "noiseless": [Noiseless()],
    "rayleigh": [Rayleigh(std=0.0), Rayleigh(std=0.3, block=7), Rayleigh(std=0.1, depth=5)],
    "rician": [Rician(std=0.3), Rician(std=0.1, factor=0.0, block=1), Rician(std=1.0, depth=3)],
    "erasures": [Erasures(std=0.0), Erasures(std=0.3, probability=0.4, block=9)],
    "cascade": [
        Cascade(stages=(AWGN(std=0.1), Noiseless(), AWGN(std=0.3))),
        Cascade(stages=(Cascade(stages=(AWGN(std=0.2),)), AWGN(std=0.1))),
    ],
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
    noise = Noise(seed=2, draw=3)
    ends = sorted([0, *cuts, len(SYMBOLS)])
    pieces = [channel.transmit(SYMBOLS[i:j], at + i, noise) for i, j in itertools.pairwise(ends)]
    assert np.array_equal(channel.transmit(SYMBOLS, at, noise), np.concatenate(pieces))


@every_channel
def test_capacity_is_positive_and_params_survive_a_header(channel: Channel) -> None:
    assert channel.capacity() > 0
    assert build(CHANNELS, spec_of(channel)) == channel
    assert build(CHANNELS, json.loads(json.dumps(spec_of(channel)))) == channel


@every_channel
def test_what_arrives_is_the_sent_times_the_gain_and_noise_of_the_state(channel: Channel) -> None:
    noise, n = Noise(seed=6), 200_000
    sent = np.resize(SYMBOLS, n)
    state = channel.state(3, n, noise)
    residue = channel.transmit(sent, 3, noise).astype("f8") - state.gain * sent
    if np.max(state.std) == 0:
        rounding = 2.0**-24 * np.max(np.abs(state.gain * sent))
        assert np.abs(residue).max() <= (0 if np.all(state.gain == 1) else rounding)
    else:
        scaled = residue / state.std
        # The mean of n squares of a normal variable is off by sqrt(2 / n); 1 dB is 0.26.
        assert abs(np.mean(scaled**2) - 1) <= 5 * np.sqrt(2 / n) < 0.26


@every_channel
def test_the_state_of_a_part_is_part_of_the_state(channel: Channel) -> None:
    noise = Noise(seed=6, draw=1)
    whole, part = channel.state(0, 100, noise), channel.state(40, 10, noise)
    for name in ("gain", "std"):
        expected = np.broadcast_to(getattr(whole, name), 100)[40:50]
        assert np.array_equal(np.broadcast_to(getattr(part, name), 10), expected)


@every_channel
def test_a_channel_that_says_it_is_clean_changes_nothing(channel: Channel) -> None:
    if channel.is_clean:
        assert np.array_equal(channel.transmit(SYMBOLS, 0, Noise(seed=1)), SYMBOLS)
