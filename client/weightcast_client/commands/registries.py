"""What `client schemes`, `decoders`, `channels` and `tasks` print."""

from dataclasses import MISSING, Field, fields
from pathlib import Path
from typing import Any

from weightcast.registry import Kind
from weightcast_client.options import load_plugins


def show_kind(kind: Kind[Any], files: list[Path] | None) -> None:
    """Print all things of a kind with their params, those of plug-ins included."""
    from weightcast_client.screen.console import show_table

    load_plugins(files)
    rows = []
    for name in kind:
        cls = kind[name]
        first = (cls.__doc__ or "").partition("\n")[0]
        rows.append([name, "\n".join(map(_param, fields(cls))), first])
    show_table([kind.noun, "params", "what it does"], rows)


def _param(field: Field[Any]) -> str:
    if field.default is MISSING:
        return field.name
    default = f"{field.default:.4g}" if isinstance(field.default, float) else repr(field.default)
    return f"{field.name}={default}"
