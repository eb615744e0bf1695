import os
import threading

import numpy as np
import pytest

from weightcast.pipeline import in_threads


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
