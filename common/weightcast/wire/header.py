"""The header: the error-free JSON that opens a transmission."""

import json
import math
from typing import Annotated, Any, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, JsonValue, ValidationError, model_validator

from weightcast.channels import Channel
from weightcast.channels.specs import channel_and_noise
from weightcast.errors import FormatError
from weightcast.models.tensors import MAX_DIMENSIONS, Tensor, check_type
from weightcast.noise.gaussian import Noise

VERSION = 2
PART_SYMBOLS = 1 << 20
"""Symbols per part: 4 MiB."""
MAX_HEADER_BYTES = 1 << 24
"""Enough for some 100,000 tensors."""
MAX_PLAN_BYTES = 1 << 26
"""Of the arrays of a plan, which the receiver keeps in memory."""
SYMBOL_BYTES = 4

Name = Annotated[str, Field(min_length=1, max_length=512)]
Whole = Annotated[int, Field(ge=-(1 << 64), le=1 << 64)]
Number = Annotated[float, Field(allow_inf_nan=False)] | Whole
Dimension = Annotated[int, Field(ge=0, le=1 << 40)]
Shape = Annotated[list[Dimension], Field(max_length=MAX_DIMENSIONS)]
TensorEntry = tuple[str, Name, Shape]
ArrayEntry = tuple[Name, Shape]
PlanValue = Number | ArrayEntry


class Header(BaseModel):
    """What the receiver must know before the first symbol; immutable once sent.

    A tensor is written as [name, dtype, shape], an array of the plan as [dtype, shape]. The link
    looks at channel, seed and draw of the setup alone.
    """

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)

    version: Literal[2] = 2
    model: Annotated[str, Field(max_length=256)]
    weights: Annotated[list[TensorEntry], Field(min_length=1)]
    carried: list[TensorEntry]
    setup: Annotated[dict[Name, JsonValue], Field(max_length=64)]
    plan: Annotated[dict[Name, PlanValue], Field(max_length=64)]
    n_weights: Annotated[int, Field(ge=1, le=1 << 40)]
    n_symbols: Annotated[int, Field(ge=1, le=1 << 44)]

    @model_validator(mode="after")
    def _agree(self) -> Self:
        names = [name for name, _, _ in self.weights] + [name for name, _, _ in self.carried]
        if len(set(names)) != len(names):
            raise ValueError("a tensor name appears twice")
        for entries in (self.weights, self.carried):
            if [entry[0] for entry in entries] != sorted(entry[0] for entry in entries):
                raise ValueError("tensors are not sorted by name")
        for tensor in (*self.plan_arrays, *self.weight_tensors, *self.carried_tensors):
            check_type(tensor)
        n_bytes = sum(array.n_bytes for array in self.plan_arrays)
        if n_bytes > MAX_PLAN_BYTES:
            raise ValueError(f"the plan's arrays take {n_bytes} bytes, at most {MAX_PLAN_BYTES}")
        total = sum(math.prod(shape) for _, _, shape in self.weights)
        if total != self.n_weights:
            raise ValueError(f"n_weights is {self.n_weights}, the shapes hold {total}")
        return self

    @property
    def weight_tensors(self) -> tuple[Tensor, ...]:
        """The tensors that are weights."""
        return tuple(Tensor(name, dtype, tuple(shape)) for name, dtype, shape in self.weights)

    @property
    def carried_tensors(self) -> tuple[Tensor, ...]:
        """The tensors that are carried."""
        return tuple(Tensor(name, dtype, tuple(shape)) for name, dtype, shape in self.carried)

    @property
    def n_parts(self) -> int:
        """Number of parts the symbols are cut into."""
        return n_parts(self.n_symbols)

    @property
    def plan_numbers(self) -> dict[str, int | float]:
        """The numbers of the plan."""
        return {name: v for name, v in self.plan.items() if not isinstance(v, tuple)}

    @property
    def plan_arrays(self) -> tuple[Tensor, ...]:
        """The arrays of the plan, which the side information holds, in its order."""
        arrays = {name: v for name, v in self.plan.items() if isinstance(v, tuple)}
        return tuple(Tensor(name, dtype, tuple(shape)) for name, (dtype, shape) in arrays.items())

    def part_bytes(self, n: int) -> int:
        """Return the length of part ``n``, see the function of that name."""
        return part_bytes(self.n_symbols, n)

    def channel_and_noise(self) -> tuple[Channel, Noise]:
        """Return the channel and its noise; raises `UnknownNameError` or `ParameterError`."""
        return channel_and_noise(self.setup)

    def to_bytes(self) -> bytes:
        """Return the canonical JSON: these bytes are counted in the ledger."""
        return self.model_dump_json().encode()


def n_parts(n_symbols: int) -> int:
    """Return the number of parts that so many symbols are cut into."""
    return -(-n_symbols // PART_SYMBOLS)


def part_bytes(n_symbols: int, n: int) -> int:
    """Return the bytes of part ``n`` of so many symbols.

    Raises:
        FormatError: there is no such part.
    """
    if not 0 <= n < n_parts(n_symbols):
        raise FormatError(f"there is no part {n}; parts are 0 .. {n_parts(n_symbols) - 1}")
    return SYMBOL_BYTES * min(PART_SYMBOLS, n_symbols - n * PART_SYMBOLS)


def entries(tensors: tuple[Tensor, ...]) -> list[TensorEntry]:
    """Return tensors as a header writes them."""
    return [(tensor.name, tensor.dtype, list(tensor.shape)) for tensor in tensors]


def parse_header(text: bytes, max_bytes: int = MAX_HEADER_BYTES) -> Header:
    """Parse a header and check that it agrees with itself.

    Raises:
        FormatError: too long, not JSON, a name twice, an unknown field or version, a wrong value.
    """
    if len(text) > max_bytes:
        raise FormatError(f"the header has {len(text)} bytes, at most {max_bytes} are allowed")
    try:
        fields = json.loads(
            text,
            object_pairs_hook=_without_doubles,
            parse_constant=_no_constant,
            parse_float=_finite,
        )
    except FormatError:
        raise
    except (ValueError, RecursionError):  # A number of more than 4,300 digits is a ValueError too.
        raise FormatError("the header is not JSON") from None
    version = fields.get("version") if isinstance(fields, dict) else None
    if isinstance(fields, dict) and (type(version) is not int or version != VERSION):
        raise FormatError(f"the header has the version {version!r}; known: {VERSION}")
    try:
        # Validated from the text: JSON mode takes an array for a tuple, yet stays strict.
        return Header.model_validate_json(text)
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False)[0]
        where = ".".join(str(step) for step in first["loc"])
        message = first["msg"].removeprefix("Value error, ")
        raise FormatError(f"header: {where + ': ' if where else ''}{message}") from None


def _without_doubles(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    fields = dict(pairs)
    if len(fields) != len(pairs):
        raise FormatError("the header has a name twice")
    return fields


def _no_constant(name: str) -> float:
    raise FormatError(f"the header has the number {name[:32]}; numbers must be finite")


def _finite(text: str) -> float:
    number = float(text)
    return number if math.isfinite(number) else _no_constant(text)
