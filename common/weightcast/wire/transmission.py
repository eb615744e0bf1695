"""A checked header: the objects it names, and whether all its numbers agree."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from weightcast.errors import FormatError
from weightcast.measure.ledger import Ledger
from weightcast.models.weights import Layout
from weightcast.setup import Setup
from weightcast.wire import plans
from weightcast.wire.header import Header, entries


@dataclass(frozen=True, slots=True, kw_only=True)
class Transmission:
    """What a header stands for.

    Args:
        header: as it came.
        layout: of the model.
        setup: of the run.
        plan: of the scheme; None as long as arrays of it are to come, see `with_arrays`.
    """

    header: Header
    layout: Layout
    setup: Setup
    plan: Any

    def with_arrays(self, arrays: Mapping[str, plans.Array]) -> Any:
        """Return the whole plan.

        Raises:
            ParameterError: it is not possible.
            FormatError: counts that do not agree with it.
        """
        header, scheme = self.header, self.setup.scheme
        plan = plans.assembled(self.setup, header.plan_numbers, arrays, self.layout.weights)
        if plan.n_weights != header.n_weights:
            raise FormatError(f"n_weights is {header.n_weights}, the plan has {plan.n_weights}")
        n_symbols = scheme.n_symbols(plan)
        if n_symbols != header.n_symbols:
            raise FormatError(f"n_symbols is {header.n_symbols}, scheme and plan give {n_symbols}")
        return plan


def announce(model: str, layout: Layout, setup: Setup, plan: Any) -> Header:
    """Return the header of a transmission."""
    return Header(
        model=model,
        weights=entries(layout.weights),
        carried=entries(layout.carried),
        setup=setup.spec(),
        plan=plans.written(plan),
        n_weights=layout.n_weights,
        n_symbols=setup.scheme.n_symbols(plan),
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
    arrays = sum(array.n_bytes for array in header.plan_arrays)
    index = side_bytes - sum(plane_bytes.values()) - arrays - carried
    side_bits = {name: 8 * length for name, length in plane_bytes.items()}
    return Ledger(
        n_weights=header.n_weights,
        n_symbols=header.n_symbols,
        side_bits=side_bits | ({"plan": 8 * arrays} if arrays else {}),
        carried_bits=8 * carried,
        header_bits=8 * (len(header.to_bytes()) + index),
        capacity=capacity,
    )


def check(header: Header) -> Transmission:
    """Build what the header names.

    Raises:
        UnknownNameError: no such scheme, decoder, channel or task.
        ParameterError: a param or the plan is not possible.
        FormatError: counts that do not agree.
    """
    transmission = Transmission(
        header=header,
        layout=Layout(header.weight_tensors, header.carried_tensors),
        setup=Setup.from_spec(header.setup),
        plan=None,
    )
    if header.plan_arrays:
        return transmission
    return replace(transmission, plan=transmission.with_arrays({}))
