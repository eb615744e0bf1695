import hashlib
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from weightcast.errors import ParameterError
from weightcast.noise import gaussian as randomness
from weightcast.noise.gaussian import Noise, add_noise_plainly_into

GOLDEN = "11231a027d53216c2d1c84bd9d6e0eb8d67ca2bee10181b14773985a6532d1c7"
"""SHA-256 of the little-endian noise of symbols 12,345 .. 1,012,344, seed 2026, stream 7."""


@pytest.mark.parametrize(
    ("counter", "stream", "key", "words"),
    [
        (0, 0, 0, "6627e8d5 e169c58d bc57ac4c 9b00dbd8"),
        (2**64 - 1, 2**64 - 1, 2**64 - 1, "408f276d 41c83b0e a20bc7c6 6d5451fd"),
        (
            0x85A308D3243F6A88,
            0x0370734413198A2E,
            0x299F31D0A4093822,
            "d16cfe09 94fdcceb 5001e420 24126ea1",
        ),
    ],
)
def test_philox_gives_the_known_answers_of_its_authors(
    counter: int, stream: int, key: int, words: str
) -> None:
    # kat_vectors of Random123, "philox4x32 10": counter words, key words, result.
    found = randomness._philox(counter, 1, key, stream)[:, 0]
    assert " ".join(f"{int(word):08x}" for word in found) == words


@given(
    seed=st.integers(0, 2**64 - 1),
    stream=st.integers(0, 2**64 - 1),
    at=st.integers(0, 2**44),
    n=st.integers(0, 5000),
    std=st.floats(0, 1e6, width=32),
)
def test_the_fused_and_the_plain_form_agree_to_the_bit(
    seed: int, stream: int, at: int, n: int, std: float
) -> None:
    symbols = np.linspace(-1, 1, n, dtype=np.float32)
    plain = np.empty(n, np.float32)
    add_noise_plainly_into(plain, symbols, at, std, seed, stream)
    fused = Noise(seed=seed, draw=stream).add(symbols, at, std)
    assert np.array_equal(plain.view(np.uint32), fused.view(np.uint32))


def test_a_million_samples_have_the_same_bits_on_every_machine() -> None:
    noise = Noise(seed=2026, draw=7).normal(12_345, 1_000_000)
    assert hashlib.sha256(noise.astype("<f4").tobytes()).hexdigest() == GOLDEN


def test_another_process_without_numba_draws_the_same_noise() -> None:
    program = (
        "import sys, hashlib; sys.modules |= {'numba': None, 'llvmlite': None}\n"
        "from weightcast.noise.gaussian import Noise, add_noise_plainly_into, best_form\n"
        "assert best_form() is add_noise_plainly_into\n"
        "noise = Noise(seed=2026, draw=7).normal(12_345, 1_000_000)\n"
        "print(hashlib.sha256(noise.astype('<f4').tobytes()).hexdigest())"
    )
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True, timeout=60
    )
    assert done.stdout.strip() == GOLDEN


@pytest.mark.slow
@pytest.mark.parametrize("cpu", ["generic", "host"])
def test_a_program_compiled_for_another_type_of_cpu_draws_the_same_noise(
    cpu: str, tmp_path: Path
) -> None:
    program = (
        "import hashlib\n"
        "from weightcast.noise.gaussian import Noise\n"
        "noise = Noise(seed=2026, draw=7).normal(12_345, 1_000_000)\n"
        "print(hashlib.sha256(noise.astype('<f4').tobytes()).hexdigest())"
    )
    done = subprocess.run(
        [sys.executable, "-c", program],
        env={**os.environ, "NUMBA_CPU_NAME": cpu, "NUMBA_CACHE_DIR": str(tmp_path)},
        capture_output=True,
        text=True,
        check=True,
        timeout=120,
    )
    assert done.stdout.strip() == GOLDEN


@pytest.mark.parametrize("seed", [-1, 2**64])
def test_a_seed_outside_64_bits_is_refused(seed: int) -> None:
    with pytest.raises(ParameterError, match="seed must be in 0"):
        Noise(seed=seed)
    with pytest.raises(ParameterError, match="draw must be in 0"):
        Noise(seed=0, draw=seed)


def test_branches_are_independent_of_their_root_and_of_each_other() -> None:
    n = 1_000_000
    root = Noise(seed=5, draw=1)
    drawn = [
        root,
        *(root.branch(name) for name in ("0", "1", "fading")),
        root.branch("0").branch("0"),
    ]
    values = [noise.normal(0, n).astype(np.float64) for noise in drawn]
    for i, first in enumerate(values):
        for second in values[:i]:
            assert abs(float(np.mean(first * second))) < 5 / np.sqrt(n)


def test_a_branch_keeps_the_draw_and_is_always_the_same() -> None:
    branch = Noise(seed=5, draw=3).branch("fading")
    assert branch.draw == 3 and branch == Noise(seed=5, draw=3).branch("fading")
    assert branch.seed == Noise(seed=5, draw=0).branch("fading").seed != 5
