"""Compiling: functions made into machine code by numba, kept in its cache where there is one."""

from collections.abc import Callable
from typing import Any

import numba

from weightcast.errors import ParameterError

_config: Any = numba.config


def compiled(function: Callable[..., Any]) -> Any:
    """Return a function that is compiled at its first call, without what changes bits.

    No folder for the cache can be written where a package was installed by somebody else and there
    is no home folder: then every process compiles, which takes some seconds.

    Raises:
        ParameterError: numba is told to compile nothing.
    """
    if _config.DISABLE_JIT:
        raise ParameterError("these functions must be compiled: unset NUMBA_DISABLE_JIT")
    try:
        return _jit(function, cache=True)
    except RuntimeError as error:
        if "no locator available" not in str(error):
            raise
        return _jit(function, cache=False)


def _jit(function: Callable[..., Any], *, cache: bool) -> Any:
    return numba.njit(cache=cache, nogil=True, error_model="numpy", boundscheck=False)(function)
