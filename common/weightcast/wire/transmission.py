"""A checked header: the objects it names, and whether all its numbers agree."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from weightcast.channels import Channel
from weightcast.coding import SCHEMES, Scheme
from weightcast.errors import FormatError
from weightcast.ledger import Ledger
from weightcast.models.weights import Layout
from weightcast.registry import build, params_of
from weightcast.wire.header import Header, entries


@dataclass(frozen=True, slots=True, kw_only=True)
class Transmission:
    """What a header stands for."""

    header: Header
    layout: Layout
    scheme: Scheme[Any]
    plan: Any
    channel: Channel


def announce(
    *,
    model: str,
    layout: Layout,
    scheme_name: str,
    scheme: Scheme[Any],
    plan: Any,
    channel_name: str,
    channel: Channel,
    seed: int,
    stream: int = 0,
    evaluate: bool = True,
    n_images: int | None = None,
) -> Header:
    """Return the header of a transmission."""
    return Header(
        model=model,
        weights=entries(layout.weights),
        carried=entries(layout.carried),
        scheme=scheme_name,
        params=params_of(scheme),
        plan=params_of(plan),
        channel=channel_name,
        channel_params=params_of(channel),
        seed=seed,
        stream=stream,
        n_weights=layout.n_weights,
        n_symbols=scheme.n_symbols(plan),
        evaluate=evaluate,
        n_images=n_images,
    )


def ledger_of(
    header: Header, plane_bytes: Mapping[str, int], side_bytes: int, capacity: float
) -> Ledger:
    """Return what a transmission costs.

    Args:
        header: of the transmission.
        plane_bytes: of each bit plane, as sent.
        side_bytes: of the whole body of side information.
        capacity: of the channel, in bits per use.
    """
    carried = sum(tensor.n_bytes for tensor in header.carried_tensors)
    index = side_bytes - sum(plane_bytes.values()) - carried
    return Ledger(
        n_weights=header.n_weights,
        n_symbols=header.n_symbols,
        side_bits={name: 8 * length for name, length in plane_bytes.items()},
        carried_bits=8 * carried,
        header_bits=8 * (len(header.to_bytes()) + index),
        capacity=capacity,
    )


def check(header: Header) -> Transmission:
    """Build what the header names.

    Raises:
        UnknownNameError: no such scheme or channel.
        ParameterError: a param or the plan is not possible.
        FormatError: counts that do not agree.
    """
    scheme = build(SCHEMES, header.scheme, header.params, "scheme")
    plan = build({header.scheme: scheme.plan_type}, header.scheme, header.plan, "plan of")
    if plan.n_weights != header.n_weights:
        raise FormatError(f"n_weights is {header.n_weights}, the plan has {plan.n_weights}")
    n_symbols = scheme.n_symbols(plan)
    if n_symbols != header.n_symbols:
        raise FormatError(f"n_symbols is {header.n_symbols}, scheme and plan give {n_symbols}")
    return Transmission(
        header=header,
        layout=Layout(header.weight_tensors, header.carried_tensors),
        scheme=scheme,
        plan=plan,
        channel=header.build_channel(),
    )
