"""The commands `client schemes`, `decoders`, `channels` and `tasks`."""

from dataclasses import MISSING, Field, fields
from pathlib import Path
from typing import Any

from weightcast.channels import CHANNELS
from weightcast.coding import SCHEMES
from weightcast.decoding import DECODERS
from weightcast.registry import Kind
from weightcast.tasks import TASKS
from weightcast_client.options import PluginFiles, load_plugins


def schemes(plugin: PluginFiles = None) -> None:
    """List the coding schemes and their params."""
    show_kind(SCHEMES, plugin)


def decoders(plugin: PluginFiles = None) -> None:
    """List the decoders and their params."""
    show_kind(DECODERS, plugin)


def channels(plugin: PluginFiles = None) -> None:
    """List the channels and their params."""
    show_kind(CHANNELS, plugin)


def tasks(plugin: PluginFiles = None) -> None:
    """List the tasks and their params."""
    show_kind(TASKS, plugin)


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
