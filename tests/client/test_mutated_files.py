"""Two thousand files that are nearly what a command reads: a result or one line, and no change.

Each mutation is a function of its number, so that one that fails can be looked at.
"""

import gzip
import json
import random
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from common.tasks.archives import cifar_binary, cifar_package, tar
from driver.commands import Call
from safetensors.numpy import save_file

pytestmark = pytest.mark.slow
N = 500
"""Files of each kind."""
N_PROCESSES = 3
"""Of them that are given to a process of its own too."""

TOKENS = [
    *(
        b"-1",
        b"0",
        b"1e999",
        b"NaN",
        b"null",
        b"true",
        b'""',
        b"[]",
        b"{}",
        b'"\\ud800"',
        b"\\u001b",
    ),
    *(
        b"99999999999999999999",
        b"1" * 5000,
        b"[" * 5000,
        b"\x00",
        b"\xff",
        b"\x1b[2J",
        b"\n",
        b"\r",
    ),
    *(
        b'"',
        b",",
        b":",
        b"]",
        b"}",
        b"=",
        b"#",
        b'"F64"',
        b'"__metadata__"',
        b"../../",
        b"\xef\xbb\xbf",
    ),
]


def mutated(raw: bytes, chance: random.Random) -> bytes:
    """Return bytes with one to four things changed in them."""
    for _ in range(chance.randint(1, 4)):
        at = chance.randrange(len(raw) + 1)
        end = min(len(raw), at + chance.choice([1, 1, 1, 2, 8, 64, 4096]))
        token = chance.choice(TOKENS)
        match chance.randrange(6):
            case 0:
                raw = raw[:at] + bytes([chance.randrange(256)]) + raw[at + 1 :]
            case 1:
                raw = raw[:at] + raw[end:]
            case 2:
                raw = raw[:end] + raw[at:]
            case 3:
                raw = raw[:at]
            case 4:
                raw = raw[:at] + token + raw[at:]
            case _:
                raw = raw[:at] + token + raw[end:]
    return raw


def model(folder: Path) -> bytes:
    path = folder / "whole.safetensors"
    tensors = {
        "a.weight": np.linspace(-1, 1, 12, dtype=np.float32).reshape(3, 4),
        "b.weight": np.ones((2, 2)),
        "a.bias": np.zeros(3, np.float16),
        "n": np.array(5),
    }
    save_file(tensors, path, {"format": "pt"})
    return path.read_bytes()


def mutated_model(whole: bytes, chance: random.Random) -> bytes:
    """Return a model that is changed anywhere, or in its index alone, whose length stays right."""
    if chance.random() < 0.3:
        return mutated(whole, chance)
    length = int.from_bytes(whole[:8], "little")
    index = mutated(whole[8 : 8 + length], chance)
    return len(index).to_bytes(8, "little") + index + whole[8 + length :]


def results() -> bytes:
    row = {
        "model": "m",
        "model_digest": "d",
        "setup": {
            "scheme": {"name": "adaptive-mapping", "n_large": 7},
            "channel": {"name": "awgn", "std": 0.1},
            "draw": 1,
            "task": {"name": "cifar10"},
            "n_samples": 50,
        },
        "noisy": "*",
        "uses_per_weight": 1.0,
        "all_in_uses_per_weight": 1.5,
        "weight_mse": 0.25,
        "sdr_db": None,
        "accuracy": 80.0,
        "clean_accuracy": 90.0,
    }
    sent = row | {"transmission": "t", "transmissions": ["t", "u"], "accuracies": [1.0, 2.0]}
    return b"".join(json.dumps(line).encode() + b"\n" for line in (row, sent))


SWEEP = b"""
model = ["none.safetensors"]
draws = 2
seed = 7
split = "validation"
n_samples = 50
noisy = ["*", "!fc.*"]

[schemes.unprotected]
[schemes.adaptive-redundancy]
n_large = [1, 2]
r_large = 3

[channels.awgn]
std = [0.1, 1]
[channels.cascade]
stages = [[{ name = "awgn", std = 0.1 }], ["noiseless"]]
"""


def archive(folder: Path, chance: random.Random) -> bytes:
    """Return one of the two archives of CIFAR-10, changed in its files, in its tar or as it is."""
    files = chance.choice([cifar_binary, cifar_package])()
    place = chance.randrange(3)
    if place == 0:
        name = chance.choice(list(files))
        files[name] = mutated(files[name], chance)
    path = tar(folder / "whole.tar.gz", files)
    raw = path.read_bytes()
    path.unlink()
    if place == 1:
        return gzip.compress(mutated(gzip.decompress(raw), chance), 1)
    return mutated(raw, chance) if place == 2 else raw


def check(ends: Callable[[], tuple[int, str]], path: Path, what: str) -> None:
    """See that a command ends in words and leaves the files as they are."""
    before = {one: one.read_bytes() for one in path.parent.iterdir() if one.is_file()}
    code, said = ends()
    after = {one: one.read_bytes() for one in path.parent.iterdir() if one.is_file()}
    assert code in (0, 2), f"{what}: {code} {said}"
    errors = [line for line in said.splitlines() if not line.startswith(("warning: ", "note: "))]
    assert len(errors) == (code == 2), f"{what}: {said}"
    assert all(letter.isprintable() for letter in said.replace("\n", "")), f"{what}: {said!r}"
    assert before == after, what


@pytest.mark.parametrize("kind", ["model", "results", "sweep", "archive"])
def test_a_mutated_file_is_a_result_or_one_line(
    call: Call, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kind: str
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("WEIGHTCAST_CLIENT_CACHE", str(tmp_path / "cache"))
    whole = model(tmp_path)
    make: dict[str, tuple[str, list[str], Callable[[random.Random], bytes]]] = {
        "model": ("m.safetensors", ["inspect", "{}"], lambda c: mutated_model(whole, c)),
        "results": ("r.jsonl", ["summary", "{}"], lambda c: mutated(results(), c)),
        "sweep": ("s.toml", ["sweep", "{}"], lambda c: mutated(SWEEP, c)),
        "archive": ("a.tgz", ["data", "--from={}"], lambda c: archive(tmp_path, c)),
    }
    name, words, made = make[kind]
    path = tmp_path / name
    words = [word.format(path) for word in words]
    for number in range(N):
        path.write_bytes(made(random.Random(f"{kind} {number}")))
        ran = call(*words)
        check(lambda: (ran.code, ran.err), path, f"{kind} {number}")  # noqa: B023
        assert "\x1b" not in ran.out
        if number % (N // N_PROCESSES) == 0:
            check(lambda: process(words), path, f"{kind} {number} in a process")


def process(words: list[str]) -> tuple[int, str]:
    """Return the exit code of a command in a process of its own, and its standard error."""
    ran = subprocess.run(
        [sys.executable, "-m", "weightcast_client.cli", *words],
        capture_output=True,
        text=True,
        timeout=60,
    )
    return ran.returncode, ran.stderr
