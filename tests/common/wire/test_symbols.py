import itertools

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from weightcast.errors import FormatError
from weightcast.wire.symbols import cut_into_parts, parse_symbols


@given(st.lists(st.integers(0, 50), max_size=8), st.integers(1, 40))
def test_parts_hold_the_same_symbols_in_the_same_order(lengths: list[int], size: int) -> None:
    everything = np.arange(sum(lengths), dtype=np.float32)
    ends = np.cumsum([0, *lengths])
    blocks = [everything[i:j] for i, j in itertools.pairwise(ends)]
    parts = list(cut_into_parts(blocks, size))
    assert all(len(part) == size for part in parts[:-1])
    joined = np.concatenate(parts) if parts else everything
    assert np.array_equal(joined, everything)


def test_symbols_are_little_endian_float32() -> None:
    assert parse_symbols(b"\0\0\x80\x3f\0\0\0\xbf", at=0, limited=True).tolist() == [1.0, -0.5]


@pytest.mark.parametrize(
    ("value", "limited", "message"),
    [
        (np.nan, True, r"symbol 12 is nan; symbols must be in \[-1, 1\]"),
        (np.inf, True, r"symbol 12 is inf; symbols must be in \[-1, 1\]"),
        (np.nextafter(np.float32(1), np.float32(2)), True, "symbol 12 is 1.0000"),
        (-1.5, True, "symbol 12 is -1.5"),
        (np.nan, False, "symbol 12 is nan; symbols must be finite"),
        (-np.inf, False, "symbol 12 is -inf; symbols must be finite"),
    ],
)
def test_a_bad_symbol_is_named_by_its_index(value: float, limited: bool, message: str) -> None:
    raw = np.array([0, 1, value, np.nan], "<f4").tobytes()
    with pytest.raises(FormatError, match=message):
        parse_symbols(raw, at=10, limited=limited)


def test_a_torn_symbol_is_refused() -> None:
    with pytest.raises(FormatError, match="7 bytes, which is not a multiple of 4"):
        parse_symbols(bytes(7), at=0, limited=False)


def test_noisy_symbols_may_be_large() -> None:
    raw = np.array([-3e38, 3e38], "<f4").tobytes()
    assert parse_symbols(raw, at=0, limited=False).tolist() == np.frombuffer(raw, "<f4").tolist()
