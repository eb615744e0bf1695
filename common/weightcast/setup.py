"""The experiment as one value."""

from collections.abc import Mapping
from dataclasses import dataclass, field, is_dataclass
from typing import Any, Self

from weightcast.channels import CHANNELS, Channel
from weightcast.coding import SCHEMES, Scheme
from weightcast.coding.paper.adaptive_redundancy import AdaptiveRedundancy
from weightcast.decoding import DECODERS, Decoder
from weightcast.decoding.inversion import Inversion
from weightcast.errors import ParameterError
from weightcast.noise.gaussian import Noise
from weightcast.registry import Kind, Spec, assemble, params_of, spec_of
from weightcast.tasks import SPLITS, TASKS, Split, Task

KINDS: tuple[Kind[Any], ...] = (SCHEMES, DECODERS, CHANNELS, TASKS)
"""What there are plug-ins of."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Setup:
    """Setup: everything that decides the numbers of one run, but for the model.

    The header of a transmission, the row of a sweep, the body of a send and every result hold the
    JSON form that `spec` returns.

    Args:
        scheme: how weights become symbols.
        decoder: how the receiver estimates a symbol from what arrived.
        channel: what the link does to symbols.
        seed: of the noise, 0 .. 2**64 - 1.
        draw: number of the repetition of the noise, 0 .. 2**64 - 1.
        task: what accuracy means; None: it is not asked for.
        split: samples on which it is found: `test`, `validation` to choose params on, or `train`.
        n_samples: the first of the split; None: all.

    Raises:
        ParameterError: a number that there cannot be.

    >>> from weightcast.channels.awgn import AWGN
    >>> setup = Setup(channel=AWGN(std=0.1))
    >>> Setup.from_spec(setup.spec()) == setup
    True
    """

    scheme: Scheme[Any] = field(default=AdaptiveRedundancy(), metadata={"kind": SCHEMES})
    decoder: Decoder = field(default=Inversion(), metadata={"kind": DECODERS})
    channel: Channel = field(metadata={"kind": CHANNELS})
    seed: int = 0
    draw: int = 0
    task: Task | None = field(default=None, metadata={"kind": TASKS})
    split: Split = "test"
    n_samples: int | None = None

    def __post_init__(self) -> None:
        Noise(seed=self.seed, draw=self.draw)
        if self.split not in SPLITS:
            raise ParameterError(f"split must be one of {', '.join(SPLITS)}, got '{self.split}'")
        size = None if self.task is None else self.task.size(self.split)
        if self.n_samples is not None and not 1 <= self.n_samples <= (size or self.n_samples):
            most = f"1 .. {size}" if size else "at least 1"
            raise ParameterError(f"n_samples must be {most} for {self.split}, got {self.n_samples}")

    @classmethod
    def from_spec(cls, spec: Mapping[str, Any], *, from_text: bool = False) -> Self:
        """Return the setup of this JSON form; what is not there takes its default.

        Args:
            spec: fields by name; a scheme, decoder, channel or task is a spec or a name.
            from_text: as for `registry.build`.

        Raises:
            UnknownNameError, ParameterError: as for `registry.build`.
        """
        found: Self = assemble(cls, spec, "setup", from_text=from_text)
        return found

    @classmethod
    def of(cls, **fields: Any) -> Self:
        """Return the setup of these fields; a scheme, decoder, channel or task may be a spec.

        >>> Setup.of(scheme="unprotected", channel={"name": "awgn", "std": 0.1}).channel
        AWGN(std=0.1)
        """
        return cls.from_spec({k: spec_of(v) if _is_thing(v) else v for k, v in fields.items()})

    def spec(self) -> Spec:
        """Return the JSON form, with every field and every param."""
        return params_of(self)

    @property
    def noise(self) -> Noise:
        """The noise of this run."""
        return Noise(seed=self.seed, draw=self.draw)


def _is_thing(value: Any) -> bool:
    return is_dataclass(value) and not isinstance(value, type)
