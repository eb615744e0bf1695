import contextlib
import io
import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from weightcast.errors import FormatError
from weightcast.models.tensors import ITEM_BITS, Tensor, read_head, read_index, write_index


def file_of(index: Any, n_bytes: int = 0, length: int | None = None) -> bytes:
    text = index if isinstance(index, bytes) else json.dumps(index).encode()
    return (len(text) if length is None else length).to_bytes(8, "little") + text + bytes(n_bytes)


def read(raw: bytes) -> dict[Tensor, int]:
    return read_index(io.BytesIO(raw), len(raw))


def entry(start: int, stop: int, dtype: str = "U8", shape: Any = None) -> dict[str, Any]:
    return {
        "dtype": dtype,
        "shape": [stop - start] if shape is None else shape,
        "data_offsets": [start, stop],
    }


names = st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=9)


@given(st.dictionaries(names.filter(lambda n: n != "__metadata__"), st.integers(0, 9)))
def test_an_index_that_was_written_is_read(sizes: dict[str, int]) -> None:
    tensors = [Tensor(name, "F32", (n, 2)) for name, n in sizes.items()]
    raw = write_index(tensors) + bytes(8 * sum(sizes.values()))
    assert len(write_index(tensors)) % 8 == 0
    assert set(read(raw)) == set(tensors)


def test_the_library_reads_what_we_write() -> None:
    from safetensors.numpy import load

    raw = write_index([Tensor("é", "F32", (2, 1)), Tensor("b", "U8", (3,))]) + bytes(11)
    assert {name: array.shape for name, array in load(raw).items()} == {"é": (2, 1), "b": (3,)}


def test_metadata_is_skipped() -> None:
    raw = file_of({"__metadata__": {"format": "pt"}, "a": entry(0, 2)}, 2)
    assert read(raw) == {Tensor("a", "U8", (2,)): len(raw) - 2}


def test_metadata_that_were_written_are_read() -> None:
    tensor, metadata = Tensor("a", "U8", (2,)), {"format": "pt", "é": ""}
    raw = write_index([tensor], metadata) + bytes(2)
    assert read_head(io.BytesIO(raw), len(raw)) == ({tensor: len(raw) - 2}, metadata)


@pytest.mark.parametrize(
    ("raw", "message"),
    [
        (b"", "not the length of an index"),
        (b"\0" * 7, "not the length of an index"),
        (file_of({}, length=2**63), "not the length of an index"),
        (file_of({}, length=3), "not the length of an index"),
        (file_of(b"{"), "not JSON"),
        (file_of(b"\xff"), "not JSON"),
        (file_of(b"[" * 100_000), "not JSON"),
        (file_of([]), "not a JSON object"),
        (file_of(b'{"a": 1, "a": 2}'), "a name twice"),
        (file_of({"a": 1}), "entry of tensor 'a'"),
        (file_of({"__metadata__": {"a": 1}}), "metadata are not names and texts"),
        (file_of({"__metadata__": "a"}), "metadata are not names and texts"),
        (file_of({"a": entry(0, 2, "U9")}, 2), "type 'U9', which is not known; known: BF16, BOOL"),
        (file_of({"a": entry(0, 2, "F4", [3])}, 2), "3 values of 4 bits .* do not fill whole"),
        (file_of({"a": entry(0, 2, "F6_E2M3", [1, 2])}, 2), "2 values of 6 bits"),
        (file_of({"a": entry(0, 2, "F4", [6])}, 2), "overlap, have a gap or differ"),
        (file_of({"\ud800": entry(0, 2)}, 2), r"name of tensor '\\ud800' is not Unicode"),
        (file_of({"x" * 600: entry(2, 0)}), "entry of tensor 'x{39}…x{39}' is not as"),
        (file_of({"a": entry(0, 0, shape=[1] * 65)}), "entry of tensor 'a'"),
        (file_of({"a": entry(0, 2, shape=[-2])}, 2), "entry of tensor 'a'"),
        (file_of({"a": entry(0, 2, shape=[True, 2])}, 2), "entry of tensor 'a'"),
        (file_of({"a": entry(0, 2, shape=[2.0])}, 2), "entry of tensor 'a'"),
        (file_of({"a": entry(2, 0, shape=[0])}, 2), "entry of tensor 'a'"),
        (file_of({"a": entry(0, 2, "F32", [2])}, 2), "overlap, have a gap or differ"),
        (file_of({"a": entry(0, 2), "b": entry(1, 3)}, 3), "overlap, have a gap or differ"),
        (file_of({"a": entry(0, 2), "b": entry(3, 4)}, 4), "overlap, have a gap or differ"),
        (file_of({"a": entry(0, 2)}, 3), "its index describes"),
        (file_of({"a": entry(0, 2)}, 1), "its index describes"),
        (file_of({"a": entry(0, 0, shape=[2**40, 2**40, 0])}, 1), "its index describes"),
    ],
)
def test_a_broken_file_is_refused(raw: bytes, message: str) -> None:
    with pytest.raises(FormatError, match=message):
        read(raw)


@pytest.mark.parametrize(
    ("dtype", "shape", "n_bytes"),
    [
        ("F4", (2, 3), 3),
        ("F6_E2M3", (4,), 3),
        ("F6_E3M2", (2, 4), 6),
        ("F8_E8M0", (3,), 3),
        ("F8_E4M3FNUZ", (), 1),
        ("C64", (2,), 16),
    ],
)
def test_types_that_few_files_have_are_read(
    dtype: str, shape: tuple[int, ...], n_bytes: int
) -> None:
    tensor = Tensor("a", dtype, shape)
    assert tensor.n_bytes == n_bytes
    assert list(read(write_index([tensor]) + bytes(n_bytes))) == [tensor]


@pytest.mark.parametrize("dtype", sorted(ITEM_BITS))
def test_the_library_knows_the_same_types_by_the_same_size(dtype: str) -> None:
    from safetensors import SafetensorError, deserialize

    raw = write_index([Tensor("a", dtype, (8,))]) + bytes(ITEM_BITS[dtype])
    try:
        found = dict(deserialize(raw))
    except SafetensorError as error:  # An older library: it has not heard of the type.
        assert "unknown variant" in str(error)
        return
    assert (found["a"]["dtype"], len(found["a"]["data"])) == (dtype, ITEM_BITS[dtype])


def test_a_place_is_the_index_in_every_dimension() -> None:
    tensor = Tensor("a", "F32", (2, 3, 4))
    assert [tensor.place(i) for i in (0, 5, 23)] == [(0, 0, 0), (0, 1, 1), (1, 2, 3)]
    assert Tensor("a", "F32", ()).place(0) == ()


@given(st.binary(max_size=300))
def test_no_bytes_break_the_reader(raw: bytes) -> None:
    with contextlib.suppress(FormatError):
        read(raw)
