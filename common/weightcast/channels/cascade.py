"""Channel `cascade`: one channel behind the other."""

from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from weightcast.arrays import Symbols
from weightcast.channels.awgn import AWGN
from weightcast.channels.base import Channel, State
from weightcast.channels.noiseless import Noiseless
from weightcast.errors import ParameterError
from weightcast.measure import capacity as limits
from weightcast.noise.gaussian import Noise

MAX_STAGES = 8


@dataclass(frozen=True, slots=True, kw_only=True)
class Cascade:
    r"""Channels in a row: what arrives of one stage is sent into the next.

    Stage i draws from branch i of the noise, so no number is used twice. Gains multiply, and the
    noise of a stage passes the gains of those behind it: with :math:`g_i, \sigma_i` of stage i,
    :math:`g = g_1 g_2` and :math:`\sigma^2 = g_2^2 \sigma_1^2 + \sigma_2^2`.

    Args:
        stages: specs of 1 to 8 channels, first to last; stages of a stage count as well.

    Source: the sum of independent Gaussian variables, Cover & Thomas, *Elements of Information
    Theory*, 2nd ed., section 9.1; the bound on the capacity, section 2.8 (data processing).

    >>> from weightcast.channels.awgn import AWGN
    >>> Cascade(stages=(AWGN(std=0.3), AWGN(std=0.4))).state(0, 1, Noise(seed=1))
    State(gain=1.0, std=0.5)
    """

    name: ClassVar[str] = "cascade"
    is_clean: ClassVar[bool] = False

    stages: tuple[Channel, ...]

    def __post_init__(self) -> None:
        # Else a header of a few megabytes could keep a link busy for hours.
        if not 1 <= self._n_stages <= MAX_STAGES:
            raise ParameterError(f"a cascade has 1 to {MAX_STAGES} stages, got {self._n_stages}")

    def transmit(self, symbols: Symbols, at: int, noise: Noise) -> Symbols:
        """Pass the symbols through all stages."""
        for i, stage in enumerate(self.stages):
            symbols = stage.transmit(symbols, at, noise.branch(str(i)))
        return symbols

    def state(self, at: int, n: int, noise: Noise) -> State:
        """Return the product of the gains, and the noise of all stages as it arrives."""
        found = State(1.0, 0.0)
        for i, stage in enumerate(self.stages):
            last = stage.state(at, n, noise.branch(str(i)))
            std = np.hypot(last.gain * found.std, last.std)
            found = State(found.gain * last.gain, std if np.ndim(std) else float(std))
        return found

    def capacity(self) -> float:
        """Return the capacity where all stages add white Gaussian noise or nothing.

        Elsewhere, the smallest capacity of a stage: an upper bound, since no stage adds
        information.
        """
        if self._is_gaussian:
            return limits.capacity(float(self.state(0, 1, Noise(seed=0)).std))
        return min(stage.capacity() for stage in self.stages)

    @property
    def _n_stages(self) -> int:
        """Number of stages, with those of stages."""
        inner = (stage._n_stages for stage in self.stages if isinstance(stage, Cascade))
        return len(self.stages) + sum(inner)

    @property
    def _is_gaussian(self) -> bool:
        return all(
            stage._is_gaussian
            if isinstance(stage, Cascade)
            else isinstance(stage, AWGN | Noiseless)
            for stage in self.stages
        )
