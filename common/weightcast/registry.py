"""From a name and params to an object: the only road from text to schemes and channels."""

import dataclasses
from collections.abc import Mapping
from typing import Any, TypeVar, get_type_hints

from weightcast.errors import ParameterError, UnknownNameError

T = TypeVar("T")


def lookup(registry: Mapping[str, T], name: str, kind: str) -> T:
    """Return ``registry[name]`` or raise an `UnknownNameError` that lists what is known."""
    try:
        return registry[name]
    except KeyError:
        known = ", ".join(sorted(registry))
        raise UnknownNameError(f"no {kind} '{name}'; known: {known}") from None


def build(registry: Mapping[str, type[T]], name: str, params: Mapping[str, Any], kind: str) -> T:
    """Build the object ``name`` with ``params``; numbers may come as text.

    Raises:
        UnknownNameError: no such name.
        ParameterError: a param that the class does not have, lacks, or cannot read.

    >>> from weightcast.channels import CHANNELS
    >>> build(CHANNELS, "awgn", {"std": "0.1"}, "channel")
    AWGN(std=0.1)
    """
    cls = lookup(registry, name, kind)
    hints = get_type_hints(cls)
    fields = {f.name: f for f in dataclasses.fields(cls)}  # type: ignore[arg-type]
    for key in params:
        if key not in fields:
            known = ", ".join(sorted(fields)) or "none"
            raise ParameterError(f"{kind} '{name}' has no param '{key}'; known: {known}")
    for key, field in fields.items():
        if field.default is dataclasses.MISSING and key not in params:
            raise ParameterError(f"{kind} '{name}' needs the param '{key}'")
    return cls(**{key: _number(kind, key, value, hints[key]) for key, value in params.items()})


def params_of(thing: Any) -> dict[str, Any]:
    """Return the params of a scheme or channel as a dict that `build` takes back."""
    return {f.name: getattr(thing, f.name) for f in dataclasses.fields(thing)}


def _number(kind: str, key: str, value: Any, hint: Any) -> int | float | None:
    if value is None and type(None) in getattr(hint, "__args__", ()):
        return None
    wanted = int if hint is int or int in getattr(hint, "__args__", ()) else float
    if isinstance(value, bool) or not isinstance(value, int | float | str):
        raise ParameterError(f"{kind} param '{key}' must be a number, got {value!r}")
    try:
        number = wanted(value)
    except (ValueError, OverflowError):
        noun = "an integer" if wanted is int else "a number"
        raise ParameterError(f"{kind} param '{key}' must be {noun}, got {value!r}") from None
    if wanted is int and isinstance(value, float) and value != number:
        raise ParameterError(f"{kind} param '{key}' must be an integer, got {value!r}")
    return number
