"""Encode, decode and noise, as multiples of one memcpy.

The yardstick is `np.copyto` of the shipped model's weights, 11.16 million float32, into an array
that has been written before, on one thread: it has no page faults and reads and writes main memory.
The others do what the services do: block after block (131,072 weights) or part after part
(1,048,576 symbols), and every call makes its own result array. They run on one thread and are timed
by that thread's processor time; the threaded pipeline is timed by the clock on the wall.
"""

import os
import time
from collections import deque
from collections.abc import Callable, Iterable

import numpy as np
from measure import Row, interleaved

from weightcast.arrays import Weights, blocks
from weightcast.channels.awgn import AWGN
from weightcast.coding import DEFAULT_SCHEME, SCHEMES, Arrived
from weightcast.decoding.inversion import Inversion
from weightcast.models import zoo
from weightcast.models.weights import chosen_by, open_model
from weightcast.pipeline import encode, in_threads, plan_for, transmit
from weightcast.setup import Setup
from weightcast.wire.header import PART_SYMBOLS

REPETITIONS = 40
STD = 0.1


def shipped_weights() -> Weights:
    """Return the weights of the default model, shape (11164352,)."""
    with open_model(zoo.find(zoo.DEFAULT_MODEL), chosen_by([], [])) as model:
        return np.concatenate([block.copy() for _, block in blocks(model)])


def measure() -> list[Row]:
    """Measure all kernels."""
    weights = shipped_weights()
    return _one_thread(weights) + _pipeline(weights)


def _one_thread(weights: Weights) -> list[Row]:
    channel, noise = AWGN(std=STD), _setup(DEFAULT_SCHEME).noise
    copy = np.zeros_like(weights)
    tasks: dict[str, Callable[[], object]] = {"memcpy": lambda: np.copyto(copy, weights)}
    for name in reversed(list(SCHEMES)):
        tasks |= _of_scheme(name, weights)

    def awgn(size: int) -> Callable[[], None]:
        return lambda: _drain(channel.transmit(s, at, noise) for at, s in blocks(weights, size))

    tasks["awgn in blocks"] = awgn(1 << 17)
    tasks["awgn in parts"] = awgn(PART_SYMBOLS)
    tasks["awgn all at once"] = awgn(len(weights))
    times = interleaved(tasks, REPETITIONS, time.thread_time)
    memcpy = times.pop("memcpy").best
    rows = [
        Row(
            what="memcpy of all weights",
            value=2 * weights.nbytes / memcpy / 1e9,
            unit="GB/s",
            seconds=memcpy,
            note="read and written",
        )
    ]
    for what, found in times.items():
        is_yardstick = not what.startswith(("plan", "awgn all", "awgn in parts"))
        limit = 4.0 if what.startswith("awgn") else 2.0
        rows.append(
            Row(
                what=what,
                value=found.best / memcpy,
                unit="memcpy",
                at_most=limit if is_yardstick else None,
                seconds=found.best,
                note="page faults of 45 MB included" if what.endswith("at once") else "",
            )
        )
    return rows


def _setup(scheme: str) -> Setup:
    return Setup(scheme=SCHEMES[scheme](), channel=AWGN(std=STD), seed=1)


def _of_scheme(name: str, weights: Weights) -> dict[str, Callable[[], object]]:
    setup = _setup(name)
    scheme, decoder, plan = setup.scheme, Inversion(), plan_for(weights, setup)
    sent = [(at, len(b), scheme.encode(plan, at, b)) for at, b in blocks(weights)]
    return {
        f"plan {name}": lambda: plan_for(weights, setup),
        f"encode {name}": lambda: _drain(scheme.encode(plan, at, b) for at, b in blocks(weights)),
        f"decode {name}": lambda: _drain(
            scheme.decode(plan, at, n, Arrived(s.symbols), s.side, decoder) for at, n, s in sent
        ),
    }


def _pipeline(weights: Weights) -> list[Row]:
    """Measure the threaded forms, with the default scheme."""
    setup = _setup(DEFAULT_SCHEME)
    scheme, channel, noise = setup.scheme, setup.channel, setup.noise
    plan = plan_for(weights, setup)
    copy = np.zeros_like(weights)

    def cross(piece: tuple[int, Weights]) -> Weights:
        at, symbols = piece
        return channel.transmit(symbols, at, noise)

    tasks: dict[str, Callable[[], object]] = {
        "memcpy": lambda: np.copyto(copy, weights),
        "encode": lambda: _drain(encode(weights, scheme, plan)),
        "awgn": lambda: _drain(in_threads(cross, blocks(weights))),
        "plan, encode, transmit, decode": lambda: transmit(weights, setup),
    }
    times = interleaved(tasks, REPETITIONS)
    memcpy = times.pop("memcpy").best
    return [
        Row(
            what=f"pipeline: {what}",
            value=found.best / memcpy,
            unit="memcpy",
            seconds=found.best,
            note=f"{os.cpu_count()} threads, wall time",
        )
        for what, found in times.items()
    ]


def _drain(results: Iterable[object]) -> None:
    deque(results, maxlen=0)
