import os
import threading

import numpy as np
import pytest

from weightcast.coding import SCHEMES
from weightcast.errors import WeightsError
from weightcast.pipeline import in_threads, transmit
from weightcast.setup import Setup


def test_results_come_in_the_order_of_the_items() -> None:
    assert list(in_threads(lambda n: n * n, range(200))) == [n * n for n in range(200)]


def test_only_a_few_items_are_taken_ahead() -> None:
    taken = []

    def items():
        for n in range(100):
            taken.append(n)
            yield n

    results = in_threads(lambda n: n, items())
    next(results)
    assert len(taken) <= (os.cpu_count() or 1) + 2
    results.close()


def test_an_error_in_a_thread_reaches_the_caller_and_no_thread_stays() -> None:
    before = threading.active_count()
    with pytest.raises(ZeroDivisionError):
        list(in_threads(lambda n: 1 // n, [1, 0, 1]))
    assert threading.active_count() == before


def test_threads_share_the_work() -> None:
    barrier = threading.Barrier(min(2, os.cpu_count() or 1), timeout=20)
    assert list(in_threads(lambda n: barrier.wait() >= 0, range(2 * barrier.parties)))


def test_an_empty_source_gives_nothing() -> None:
    assert list(in_threads(np.sum, [])) == []


@pytest.mark.parametrize("name", list(SCHEMES))
@pytest.mark.parametrize("kind", ["f2", "f8", ">f4", ">f8"])
def test_floats_of_any_width_and_byte_order_are_converted_once(name: str, kind: str) -> None:
    weights = np.linspace(-1, 1, 300).astype(kind)
    setup = Setup.of(scheme=name, channel={"name": "awgn", "std": 0.1})
    assert np.array_equal(transmit(weights, setup), transmit(weights.astype("f4"), setup))


@pytest.mark.parametrize("kind", ["i4", "?", "c8"])
def test_what_is_no_float_is_refused_by_its_type(kind: str) -> None:
    with pytest.raises(WeightsError, match="weights must be floats, got an array of "):
        transmit(np.ones(9, kind), Setup.of(channel="noiseless"))


def test_a_double_beyond_float32_is_refused() -> None:
    with pytest.raises(WeightsError, match="weight 1 is inf"):
        transmit(np.array([0.0, 1e300]), Setup.of(channel="noiseless"))
