"""Analog transmission of neural-network weights over a noisy link.

`send`, `evaluate` and `sweep` do in this process what the commands do; a `Setup` is the value that
decides the numbers of a run. `docs/python.md` shows them at work. They are imported at their
first use: ``import weightcast`` alone takes no time.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from weightcast.api import Setup, evaluate, send, sweep

__version__ = "0.1.0"
__all__ = ["Setup", "evaluate", "send", "sweep"]


def __getattr__(name: str) -> Any:
    if name not in __all__:
        raise AttributeError(f"module 'weightcast' has no attribute '{name}'")
    return getattr(import_module("weightcast.api"), name)
