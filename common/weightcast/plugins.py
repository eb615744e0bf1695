"""Plug-ins: schemes, decoders, channels and tasks from outside the package.

An installed package names them as entry points of the groups `weightcast.schemes`, `.decoders`,
`.channels` and `.tasks`, under the names they have themselves. A single file is given to `load`:
all classes that it defines and that have a `name` join the kind whose methods they have.
"""

import importlib.util
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from weightcast.errors import ParameterError, WeightcastError
from weightcast.registry import Kind

_loaded: dict[Path, None] = {}


def load(path: Path | str, kinds: Sequence[Kind[Any]]) -> None:
    """Run a Python file and add what it defines; a second time does nothing.

    Args:
        path: of the file.
        kinds: what it may define; classes of other kinds are left alone.

    Raises:
        ParameterError: it cannot be read or run, defines nothing, or a name is taken.
    """
    path = Path(path).expanduser().resolve()
    if path in _loaded:
        return
    name = f"weightcast_plugin_{len(_loaded)}_{path.stem}"
    spec = importlib.util.spec_from_file_location(name, path)
    if not path.is_file() or path.suffix != ".py" or spec is None or spec.loader is None:
        raise ParameterError(f"a plug-in is a Python file, got '{path}'")
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    try:
        spec.loader.exec_module(module)
    except WeightcastError:
        raise
    except Exception as error:
        raise ParameterError(
            f"the plug-in '{path}' failed: {type(error).__name__}: {error}"
        ) from error
    own = [v for v in vars(module).values() if getattr(v, "__module__", None) == name]
    things = [v for v in own if isinstance(v, type) and isinstance(getattr(v, "name", None), str)]
    if not things:
        raise ParameterError(f"'{path}' defines no scheme, decoder, channel or task with a name")
    for thing in things:
        for kind in kinds:
            if kind.claims(thing):
                kind.add(thing)
    _loaded[path] = None


def loaded() -> tuple[Path, ...]:
    """Return the files that were loaded, so that other processes can be told."""
    return tuple(_loaded)
