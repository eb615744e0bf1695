"""Kinds of things with names, and specs: the only road from text and JSON to schemes and channels.

A **spec** is the JSON form of a thing: ``{"name": "awgn", "std": 0.1}``, its name and its params. A
param is a number, a text, a bool, None, a list, or a spec again: specs nest. A name alone stands
for the spec without params. `spec_of` gives the spec with all params, and
``build(kind, spec_of(thing)) == thing``.

Things that come with weightcast stand in literal tuples. Others join by entry points, looked up
when a name is not known yet, or by `Kind.add` (`weightcast.plugins`).
"""

import dataclasses
import json
import types
from collections.abc import Iterator, Mapping, Sequence
from functools import cached_property
from importlib.metadata import EntryPoint, entry_points
from typing import (
    Any,
    ClassVar,
    Generic,
    Literal,
    Protocol,
    TypeVar,
    Union,
    get_args,
    get_origin,
    get_type_hints,
)

import numpy as np

from weightcast.errors import ParameterError, UnknownNameError

Spec = dict[str, Any]


class Named(Protocol):
    """A frozen dataclass with a name of its own."""

    name: ClassVar[str]
    """What it is called in specs, on the command line and in results."""


A = TypeVar("A")
T = TypeVar("T", bound=Named)


def lookup(registry: Mapping[str, A], name: str, noun: str) -> A:
    """Return ``registry[name]`` or raise an `UnknownNameError` that lists what is known."""
    if name not in registry:
        raise UnknownNameError(f"no {noun} '{name}'; known: {', '.join(sorted(registry))}")
    return registry[name]


class Kind(Mapping[str, type[T]], Generic[T]):
    """All things of one kind by name: those given, those added, those of installed packages.

    Args:
        noun: what one of them is called in messages.
        methods: that each has; the first is one that things of no other kind have.
        built_in: the classes that come with weightcast.

    >>> from weightcast.channels import CHANNELS
    >>> CHANNELS["awgn"].__name__
    'AWGN'
    """

    def __init__(self, noun: str, methods: Sequence[str], built_in: Sequence[type[T]] = ()) -> None:
        self.noun, self._methods = noun, tuple(methods)
        self._things: dict[str, type[T]] = {}
        for thing in built_in:
            self.add(thing)

    takes_installed: ClassVar[bool] = True
    """Whether things of installed packages are taken; a service in production sets it to False."""

    @property
    def group(self) -> str:
        """Group of the entry points by which installed packages add things of this kind."""
        return f"weightcast.{self.noun}s"

    def claims(self, thing: type[Any]) -> bool:
        """Return whether a class has the method that only things of this kind have."""
        return hasattr(thing, self._methods[0])

    def add(self, thing: type[T]) -> None:
        """Add a class under its own name; the same class again changes nothing.

        Raises:
            ParameterError: it lacks a method, or another thing has this name.
        """
        missing = [name for name in self._methods if not hasattr(thing, name)]
        if missing or not dataclasses.is_dataclass(thing):
            lacks = ", ".join(missing) or "@dataclass"
            raise ParameterError(f"the {self.noun} '{thing.name}' lacks {lacks}")
        if self._things.setdefault(thing.name, thing) is not thing:
            raise ParameterError(f"there is a {self.noun} '{thing.name}' already")

    def __getitem__(self, name: str) -> type[T]:
        """Return a class by name.

        Raises:
            UnknownNameError: there is none; the message lists what is known.
        """
        if name not in self._things and name in self._installed:
            found = self._installed[name].load()
            if found.name != name:
                raise ParameterError(
                    f"the entry point '{name}' of {self.group} is a {self.noun} '{found.name}'"
                )
            self.add(found)
        if name not in self._things:
            raise UnknownNameError(f"no {self.noun} '{name}'; known: {', '.join(sorted(self))}")
        return self._things[name]

    def __iter__(self) -> Iterator[str]:
        """Yield all names: built in, added, installed."""
        yield from self._things | self._installed

    def __len__(self) -> int:
        """Return the number of names."""
        return len(self._things | self._installed)

    def __contains__(self, name: object) -> bool:
        """Return whether there is a thing of this name."""
        return name in self._things or name in self._installed

    @cached_property
    def _installed(self) -> dict[str, EntryPoint]:
        found = entry_points(group=self.group) if Kind.takes_installed else ()
        return {entry.name: entry for entry in found}


def build(kind: Kind[T], spec: Any, *, from_text: bool = False) -> T:
    """Build a thing from its spec, or from its name alone.

    Args:
        kind: what it is one of.
        spec: a spec or a name.
        from_text: params may be text, as on a command line: `0.1`, `true`, `none`, or JSON for a
            list or a nested spec.

    Raises:
        UnknownNameError: no such name.
        ParameterError: not a spec, or a param that the class does not have, lacks, or cannot read.

    >>> from weightcast.channels import CHANNELS
    >>> build(CHANNELS, {"name": "awgn", "std": "0.1"}, from_text=True)
    AWGN(std=0.1)
    """
    spec = {"name": spec} if isinstance(spec, str) else spec
    if not isinstance(spec, Mapping) or not isinstance(spec.get("name"), str):
        raise ParameterError(f"a {kind.noun} is a name or an object with one, got {spec!r}")
    params = {key: value for key, value in spec.items() if key != "name"}
    what = f"{kind.noun} '{spec['name']}'"
    try:
        found: T = assemble(kind[spec["name"]], params, what, kind=kind, from_text=from_text)
    except RecursionError:
        raise ParameterError(f"{what} has specs within specs, too many to read") from None
    return found


def assemble(
    cls: type[Any],
    params: Mapping[str, Any],
    what: str,
    *,
    kind: Kind[Any] | None = None,
    from_text: bool = False,
) -> Any:
    """Build a dataclass from its params.

    Args:
        cls: the class. A field whose metadata have `kind`, or whose type is a `Named`, takes specs.
        params: by name; what is not there takes its default.
        what: it is, for messages.
        kind: of nested specs where the field does not say.
        from_text: as for `build`.

    Raises:
        ParameterError: as for `build`.
    """
    hints = get_type_hints(cls)
    fields = {f.name: f for f in dataclasses.fields(cls)}
    for key in params:
        if key not in fields:
            known = ", ".join(sorted(fields)) or "none"
            raise ParameterError(f"{what} has no param '{key}'; known: {known}")
    values = {}
    for key, field in fields.items():
        if key in params:
            reader = _Reader(f"{what}, param '{key}',", field.metadata.get("kind", kind), from_text)
            values[key] = reader.read(params[key], hints[key])
        elif field.default is dataclasses.MISSING and field.default_factory is dataclasses.MISSING:
            raise ParameterError(f"{what} needs the param '{key}'")
    return cls(**values)


def spec_of(thing: Any) -> Spec:
    """Return the spec of a thing, with all its params; `build` takes it back."""
    return {"name": thing.name} | params_of(thing)


def params_of(thing: Any) -> dict[str, Any]:
    """Return the params of a dataclass as JSON values; nested things become specs."""
    return {f.name: _plain(getattr(thing, f.name)) for f in dataclasses.fields(thing)}


def _plain(value: Any) -> Any:
    if dataclasses.is_dataclass(value):
        return spec_of(value)
    return [_plain(item) for item in value] if isinstance(value, tuple | list) else value


@dataclasses.dataclass(frozen=True, slots=True)
class _Reader:
    """Reads one param.

    Args:
        what: it is, for messages.
        kind: of nested specs.
        from_text: as for `build`.
    """

    what: str
    kind: Kind[Any] | None
    from_text: bool

    def read(self, value: Any, hint: Any) -> Any:
        """Return a value as the type hint wants it."""
        wanted = _alternatives(hint)
        if self.from_text and isinstance(value, str) and wanted != {str}:
            value = _parsed(value, is_text_fine=str in wanted)
        if value is None and type(None) in wanted:
            return None
        if dataclasses.is_dataclass(value) or isinstance(value, np.ndarray):
            return self._ready(value, wanted)
        for item in wanted:
            if get_origin(item) is Literal:
                return self._choice(value, get_args(item))
        if isinstance(value, bool) and bool in wanted:
            return value
        if isinstance(value, str) and str in wanted:
            return value
        if float in wanted or int in wanted:
            return self._number(value, int if int in wanted else float)
        for item in wanted:
            if get_origin(item) is tuple:
                return self._tuple(value, get_args(item)[0])
        if bool in wanted or str in wanted:
            raise self._error("true or false" if bool in wanted else "a text", value)
        if self.kind is None:
            raise self._error(f"a {hint}", value)
        return build(self.kind, value, from_text=self.from_text)

    def _number(self, value: Any, wanted: type[int] | type[float]) -> int | float:
        noun = "an integer" if wanted is int else "a number"
        if isinstance(value, bool) or not isinstance(value, int | float):
            raise self._error(noun, value)
        try:
            number = wanted(value)
        except (ValueError, OverflowError):
            raise self._error(noun, value) from None
        if wanted is int and value != number:
            raise self._error(noun, value)
        return number

    def _ready(self, value: Any, wanted: set[Any]) -> Any:
        """Return what no spec stands for: an array, or an object of the type."""
        types_of = (get_origin(item) or item for item in wanted)
        if any(isinstance(item, type) and isinstance(value, item) for item in types_of):
            return value
        raise self._error(" or ".join(map(str, wanted)), value)

    def _choice(self, value: Any, choices: tuple[Any, ...]) -> Any:
        if value not in choices:
            raise self._error(f"one of {', '.join(map(str, choices))}", value)
        return value

    def _tuple(self, value: Any, hint: Any) -> tuple[Any, ...]:
        if not isinstance(value, list | tuple):
            raise self._error("a list", value)
        return tuple(self.read(item, hint) for item in value)

    def _error(self, noun: str, value: Any) -> ParameterError:
        return ParameterError(f"{self.what} must be {noun}, got {value!r}")


def _alternatives(hint: Any) -> set[Any]:
    is_union = get_origin(hint) in (Union, types.UnionType)
    return set(get_args(hint)) if is_union else {hint}


def _parsed(text: str, *, is_text_fine: bool) -> Any:
    """Return what a text of a command line stands for; a text that is no JSON stays one."""
    match text.lower():
        case "none" | "null":
            return None
        case "true" | "false" as word:
            return word == "true"
    for read in (int, float):
        try:
            return read(text)
        except ValueError:
            continue
    if text[:1] in ("[", "{") and not is_text_fine:
        try:
            return json.loads(text)
        except ValueError:
            pass
    return text
