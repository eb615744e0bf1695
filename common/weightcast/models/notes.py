"""What a sender should know about a model before it is sent: one line of plain text each."""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from weightcast.models.files.shards import Shards
from weightcast.models.layout import Layout
from weightcast.models.naming import shown, some
from weightcast.models.tensors import Tensor
from weightcast.models.widening import FLOATS, Raw, values_of


@dataclass(frozen=True, slots=True)
class Rounding:
    """What an F64 tensor loses as float32.

    Args:
        n_changed: number of values that float32 does not hold exactly.
        beyond: index and value of the first finite one whose magnitude is too large for float32.
    """

    n_changed: int
    beyond: tuple[int, float] | None


def rounding_of(pieces: Iterable[tuple[int, Raw]]) -> Rounding:
    """Return what the bytes of an F64 tensor, in pieces, lose as float32."""
    n_changed, beyond = 0, None
    for at, raw in pieces:
        values = raw.view("<f8")
        with np.errstate(over="ignore"):
            rounded = values.astype(np.float32)
        n_changed += int(np.count_nonzero((rounded != values) & ~np.isnan(values)))
        lost = np.isinf(rounded) & np.isfinite(values)
        if beyond is None and lost.any():
            first = int(np.argmax(lost))
            beyond = (at + first, float(values[first]))
    return Rounding(n_changed, beyond)


def notes_on(
    layout: Layout, shards: Shards, roundings: Mapping[str, Rounding], idle: Sequence[str]
) -> tuple[str, ...]:
    """Return the notes on a model.

    Args:
        layout, shards: of the model.
        roundings: of its F64 tensors that were chosen as weights, by name.
        idle: patterns that match no tensor.
    """
    lines = [f"the pattern {shown(pattern)} matches no tensor" for pattern in idle]
    return (
        *lines,
        *_widened(layout),
        *_rounded(layout, roundings),
        *_beyond(layout, roundings),
        *_mostly_carried(layout),
        *_not_finite(layout, shards),
    )


def _widened(layout: Layout) -> Iterable[str]:
    kinds = Counter(tensor.dtype for tensor in layout.weights if tensor.dtype.startswith("F8"))
    for dtype, n in kinds.items():
        yield f"widened to float32 for sending, exactly: {_tensors(n)} of type {dtype}"


def _rounded(layout: Layout, roundings: Mapping[str, Rounding]) -> Iterable[str]:
    doubles = [tensor for tensor in layout.weights if tensor.dtype == "F64"]
    changed = sum(roundings[tensor.name].n_changed for tensor in doubles)
    if changed:
        total = sum(tensor.n_values for tensor in doubles)
        yield (
            f"rounded to float32 for sending: {_tensors(len(doubles))} of type F64, {changed:,} of"
            f" {total:,} values change"
        )


def _beyond(layout: Layout, roundings: Mapping[str, Rounding]) -> Iterable[str]:
    for tensor in layout.carried:
        found = roundings.get(tensor.name)
        if found is not None and found.beyond is not None:
            at, value = found.beyond
            where = list(tensor.place(at))
            yield (
                f"tensor {shown(tensor.name)} (F64) is carried: {value} at {where} is too large"
                " for float32"
            )


def _mostly_carried(layout: Layout) -> Iterable[str]:
    carried = layout.carried_values
    total = carried + layout.n_weights
    if 2 * carried > total:
        kinds: Counter[str] = Counter()
        for tensor in layout.carried:
            kinds[tensor.dtype] += tensor.n_values
        by_type = ", ".join(f"{n:,} {dtype}" for dtype, n in kinds.most_common() if n)
        yield (
            f"{carried:,} of {total:,} values ({100 * carried / total:.1f} %) are carried and meet"
            f" no noise ({by_type})"
        )


def _not_finite(layout: Layout, shards: Shards) -> Iterable[str]:
    found = []
    for tensor in layout.carried:
        if tensor.dtype in FLOATS and (n := _count_not_finite(tensor, shards)):
            found.append(f"{shown(tensor.name)} ({n:,} of {tensor.n_values:,} values)")
    if found:
        yield f"carried tensors hold nan or infinity: {some(found)}"


def _count_not_finite(tensor: Tensor, shards: Shards) -> int:
    n = 0
    for _, raw in shards.pieces(tensor):
        values = values_of(raw, tensor.dtype)
        n += int(np.count_nonzero(~np.isfinite(values)))  # type: ignore[arg-type]
    return n


def _tensors(n: int) -> str:
    return "1 tensor" if n == 1 else f"{n:,} tensors"
