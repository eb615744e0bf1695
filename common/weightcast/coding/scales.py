"""Scales: what a plan tells a decoder of the weights, one number per tensor or per filter."""

from collections.abc import Hashable, Sequence
from dataclasses import field, fields, is_dataclass, make_dataclass
from functools import lru_cache
from typing import Any

import numpy as np
import numpy.typing as npt

from weightcast.arrays import WeightSource, blocks
from weightcast.coding.base import tensor_pieces
from weightcast.decoding import Decoder, Scope, Values
from weightcast.errors import ParameterError
from weightcast.models.tensors import Tensor

Codes = npt.NDArray[np.uint8]

STEP = 0.03
"""Between two scales that 8 bits can tell apart, in the natural logarithm: 3 %, over 2,000 to 1."""


def with_scales(
    plan: Any, weights: WeightSource, tensors: Sequence[Tensor], decoder: Decoder
) -> Any:
    """Return the plan, with the scales that the decoder needs, if it needs any.

    Args:
        plan: of a scheme for these weights.
        weights: to be sent; they are read once.
        tensors: that they belong to, in order.
        decoder: of the receiver.
    """
    if decoder.scope is None:
        return plan
    found = root_mean_squares(weights, tensors, decoder.scope)
    top = float(found.max(initial=0.0))
    known = {each.name: getattr(plan, each.name) for each in fields(plan)}
    known |= {"tensors": tuple(tensors), "scales": _coded(found, top), "top": top}
    return plan_type(type(plan), decoder)(**known)


@lru_cache(maxsize=64)
def _with_fields(base: Hashable) -> type[Any]:
    assert isinstance(base, type) and is_dataclass(base)
    own = {each.name for each in fields(base)}
    more: list[Any] = [("scales", np.ndarray), ("top", float)]
    if "tensors" not in own:
        more.append(("tensors", tuple[Tensor, ...], field(default=())))
    return make_dataclass(
        f"{base.__name__}WithScales", more, bases=(base,), frozen=True, kw_only=True, eq=False
    )


def plan_type(base: type[Any], decoder: Decoder) -> type[Any]:
    """Return the type of the plans of a scheme, with scales if the decoder needs them."""
    return base if decoder.scope is None else _with_fields(base)  # type: ignore[arg-type]


def root_mean_squares(weights: WeightSource, tensors: Sequence[Tensor], scope: Scope) -> Values:
    """Return the root mean square of each tensor or filter, in order, shape (n_scales,).

    A filter is a row of a tensor's matrix: what makes one output of a layer.
    """
    groups = [_groups(tensor, scope) for tensor in tensors]
    sums = [np.zeros(n) for n, _ in groups]
    starts = np.cumsum([0, *(tensor.n_values for tensor in tensors)])
    for at, block in blocks(weights):
        for i, piece in tensor_pieces(tensors, at, len(block)):
            n, size = groups[i]
            first = at + piece.start - starts[i]
            owner = np.arange(first, first + piece.stop - piece.start) // size
            sums[i] += np.bincount(owner, np.square(block[piece], dtype=np.float64), n)
    squares = [total / size for total, (_, size) in zip(sums, groups, strict=True)]
    found: Values = np.sqrt(np.concatenate(squares))
    return found


def scale_of_each(plan: Any, at: int, n: int, decoder: Decoder) -> Values | None:
    """Return the scale of each of the weights ``at .. at + n - 1``, shape (n,).

    Args:
        plan: of a scheme, with scales.
        at: index of the first weight.
        n: how many.
        decoder: None is returned if it needs no scales.

    Raises:
        ParameterError: the plan has none, or those of other tensors.
    """
    if decoder.scope is None:
        return None
    groups = [_groups(tensor, decoder.scope) for tensor in plan.tensors]
    firsts = np.cumsum([0, *(count for count, _ in groups)])
    if plan.scales.dtype != np.uint8 or plan.scales.shape != (firsts[-1],):
        raise ParameterError(
            f"the plan's scales must be uint8 ({firsts[-1]},),"
            f" got {plan.scales.dtype} {plan.scales.shape}"
        )
    scales = _decoded(plan.scales, plan.top)
    starts = np.cumsum([0, *(tensor.n_values for tensor in plan.tensors)])
    found = np.empty(n)
    for i, piece in tensor_pieces(plan.tensors, at, n):
        first = at + piece.start - starts[i]
        owner = np.arange(first, first + piece.stop - piece.start) // groups[i][1]
        found[piece] = scales[firsts[i] + owner]
    return found


def _groups(tensor: Tensor, scope: Scope) -> tuple[int, int]:
    """Return how many scales a tensor has (an empty one none), and how many weights share one."""
    n = tensor.n_values
    rows = tensor.shape[0] if scope == "filter" and len(tensor.shape) > 1 else min(n, 1)
    return (rows, n // rows) if n else (0, 1)


def _coded(scales: Values, top: float) -> Codes:
    """Return scales as codes: 255 is the largest, each step below 3 % less, 0 is nothing."""
    if top == 0:
        return np.zeros(len(scales), np.uint8)
    with np.errstate(divide="ignore"):
        steps = np.round(np.log(scales / top) / STEP)
    return np.where(scales > 0, np.clip(255 + steps, 1, 255), 0).astype(np.uint8)


def _decoded(codes: Codes, top: float) -> Values:
    found: Values = top * np.exp(STEP * (codes.astype(np.float64) - 255))
    return np.where(codes == 0, 0.0, found)
