"""What to send, in words and as objects."""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from weightcast.channels import CHANNELS, Channel
from weightcast.coding import SCHEMES, Scheme
from weightcast.learning.architectures import architecture_of
from weightcast.models.weights import Model, chosen_by, open_model
from weightcast.randomness import Noise
from weightcast.registry import build


@dataclass(frozen=True, slots=True, kw_only=True)
class Order:
    """What to send, and how.

    Args:
        model_name: as the user calls it.
        model: the open file.
        scheme_name, scheme, channel_name, channel: as in the registries.
        seed: of the noise.
        evaluate: whether the receiver evaluates the model.
        n_images: first test images to evaluate on; None: all.
    """

    model_name: str
    model: Model
    scheme_name: str
    scheme: Scheme[Any]
    channel_name: str
    channel: Channel
    seed: int
    evaluate: bool
    n_images: int | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Wish:
    """An order in words, not yet checked.

    Args:
        model_name: as the user calls it.
        path: of its file.
        scheme, params, channel, channel_params: names and params for the registries.
        std: of the noise, a param of most channels; None: not given.
        seed, evaluate, n_images: as in `Order`.
        include, exclude: patterns that choose the weights, see `chosen_by`.
    """

    model_name: str
    path: Path
    scheme: str
    params: Mapping[str, Any]
    channel: str
    channel_params: Mapping[str, Any]
    std: float | None
    seed: int
    evaluate: bool
    n_images: int | None
    include: Sequence[str] = field(default=())
    exclude: Sequence[str] = field(default=())

    @contextmanager
    def open(self) -> Iterator[Order]:
        """Check it and yield the order; the model's file is open as long as the block lasts.

        Raises:
            WeightcastError: a name, a param or the model cannot be used.
        """
        Noise(seed=self.seed)
        scheme = build(SCHEMES, self.scheme, self.params, "scheme")
        params = {**self.channel_params} | ({} if self.std is None else {"std": self.std})
        channel = build(CHANNELS, self.channel, params, "channel")
        with self._open_model() as model:
            if self.evaluate:
                architecture_of(model.layout)
            yield Order(
                model_name=self.model_name,
                model=model,
                scheme_name=self.scheme,
                scheme=scheme,
                channel_name=self.channel,
                channel=channel,
                seed=self.seed,
                evaluate=self.evaluate,
                n_images=self.n_images,
            )

    def _open_model(self) -> AbstractContextManager[Model]:
        return open_model(self.path, chosen_by(self.include, self.exclude))
