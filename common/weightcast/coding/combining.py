"""Repetitions of a symbol, combined into one observation."""

import numpy as np
import numpy.typing as npt

from weightcast.channels import State
from weightcast.coding.base import Arrived
from weightcast.decoding import Values


def combined(arrived: Arrived, uses: npt.NDArray[np.integer]) -> tuple[Values, State | None]:
    r"""Return one observation per symbol, in float64, and its state.

    Without a state the mean of what arrived, in the order of arrival. With one, maximum-ratio
    combining with the gain taken out, of uses k with gains :math:`g_k` and noise
    :math:`\sigma_k`:

    .. math:: z = \frac{\sum g_k y_k / \sigma_k^2}{\sum g_k^2 / \sigma_k^2}, \qquad
              \sigma_z^{-2} = \sum g_k^2 / \sigma_k^2.

    Args:
        arrived: shape (sum of uses,), repetitions one right after the other.
        uses: of each symbol, at least 1, shape (n,).

    Returns:
        z, shape (n,), and its state: gain 1, or 0 (and z = 0) where all uses were erased.

    Source: Brennan, "Linear diversity combining techniques", Proc. IRE 47, 1959, section 5.
    """
    n = len(uses)
    owner = np.repeat(np.arange(n), uses)
    y = arrived.symbols.astype(np.float64)
    if arrived.state is None:
        return np.bincount(owner, y, n) / uses, None
    gain = np.broadcast_to(np.float64(arrived.state.gain), y.shape)
    std = np.broadcast_to(np.float64(arrived.state.std), y.shape)
    # In units of the largest noise level, so that a constant one, and none at all, cancel out.
    unit = float(std.max(initial=0.0)) or 1.0
    precision = np.square(unit / np.maximum(std, unit * 1e-9))
    total = np.bincount(owner, gain * gain * precision, n)
    is_there = total > 0
    safe = np.where(is_there, total, 1.0)
    z = np.bincount(owner, gain * precision * y, n) / safe
    quiet = std.max(initial=0.0) == 0
    return np.where(is_there, z, 0.0), State(
        is_there.astype(np.float64), np.zeros(n) if quiet else unit / np.sqrt(safe)
    )
