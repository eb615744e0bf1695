"""The folder of a training: checkpoint, curves, and in the end the model with its card.

=======================  ==========================================================
`checkpoint.safetensors`  everything the next epoch needs; gone when the training is done
`curves.jsonl`            one line per epoch
`NAME.safetensors`        the model
`NAME.json`               its card, written last: where it is, the training is done
=======================  ==========================================================
"""

import hashlib
import json
import platform
from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

import weightcast
from weightcast.errors import ModelError, ParameterError
from weightcast.tasks.cifar10.task import MEAN, STD
from weightcast.training import checkpoint
from weightcast.training.epochs import Row, Training
from weightcast.training.recipes import Recipe, Setting


@dataclass(frozen=True, slots=True, kw_only=True)
class Order:
    """What is to be trained; the result depends on this and on nothing a user can choose besides.

    Args:
        architecture: what is trained, as the card names it.
        setting_name, setting: how it is regularised.
        recipe_name, recipe: how it is trained.
        seed: of all chance, at least 0.
        n_images: training images of CIFAR-10 to use, those for validation among them.
    """

    architecture: str
    setting_name: str
    setting: Setting
    recipe_name: str
    recipe: Recipe
    seed: int
    n_images: int

    def __post_init__(self) -> None:
        if self.seed < 0:
            raise ParameterError(f"seed must be at least 0, got {self.seed}")
        if self.recipe.validation >= self.n_images:
            raise ParameterError(
                f"validation must be less than the {self.n_images} images, "
                f"got {self.recipe.validation}"
            )

    @property
    def model_name(self) -> str:
        """Name of the model that comes out."""
        return f"{self.architecture}-{self.setting_name}"

    def numbers(self) -> dict[str, Any]:
        """Return the order as a flat dict: what a resumed training must have in common."""
        rest = {k: v for k, v in asdict(self.setting).items() if k != "description"}
        plain = {"architecture": self.architecture, "setting": self.setting_name} | rest
        plain |= {"recipe": self.recipe_name} | asdict(self.recipe)
        plain["pixels"] = list(self.recipe.pixels)
        return plain | {"seed": self.seed, "n_images": self.n_images}


@dataclass(frozen=True, slots=True)
class Machine:
    """What besides the order decides the last bits, and is therefore kept when resuming.

    Args:
        arithmetic: `bfloat16` or `float32`.
        threads: of torch.
        device: `cpu` or `cuda`.
        is_compiled: as for `weightcast.training.steps.Steps`.
    """

    arithmetic: str
    threads: int
    device: str = "cpu"
    is_compiled: bool = False


class TrainingFolder:
    """Reads and writes the folder of one order.

    Args:
        path: the folder; it need not be there.
        order: what is trained in it.

    Raises:
        ParameterError: something else was trained in it.
    """

    def __init__(self, path: Path, order: Order) -> None:
        self._path, self._order = path, order
        self.model_path = path / f"{order.model_name}.safetensors"
        self.card_path = self.model_path.with_suffix(".json")
        self.curves_path = path / "curves.jsonl"
        self._checkpoint = path / "checkpoint.safetensors"
        if self.is_done:
            self._demand_same(self.card()["training"])

    @property
    def is_done(self) -> bool:
        """Whether the training has been finished."""
        return self.card_path.exists()

    def card(self) -> dict[str, Any]:
        """Return the card of the finished model.

        Raises:
            ModelError: it is not one.
        """
        try:
            found: dict[str, Any] = json.loads(self.card_path.read_text())
        except ValueError as error:
            raise ModelError(f"'{self.card_path}' is not a card: {error}") from None
        if "training" not in found:
            raise ModelError(f"'{self.card_path}' is not the card of a training")
        return found

    def machine(self, here: Machine, threads: int | None = None) -> Machine:
        """Return the machine that the training was begun on, or this one for a new training.

        Args:
            here: this machine.
            threads: how many are asked for, if any are.

        Raises:
            ParameterError: it was begun on another number of threads than is asked for.
        """
        if not self._checkpoint.exists():
            return replace(here, threads=threads or here.threads)
        facts = checkpoint.load(self._checkpoint)[1]
        self._demand_same(facts["training"])
        machine = Machine(**facts["machine"])
        if threads not in (None, machine.threads):
            raise ParameterError(
                f"'{self._path}' holds a training with threads {machine.threads}, got {threads}"
            )
        return machine

    def restore_into(self, training: Training) -> None:
        """Bring a new training to where the checkpoint is, if there is one."""
        if self._checkpoint.exists():
            state, facts = checkpoint.load(self._checkpoint)
            training.restore(state, facts["rows"])

    def save(self, training: Training, machine: Machine) -> None:
        """Write the checkpoint and the curves."""
        self._path.mkdir(parents=True, exist_ok=True)
        facts = {"training": self._order.numbers(), "machine": asdict(machine)}
        checkpoint.save(self._checkpoint, training.state(), facts | {"rows": training.rows})
        self.save_curves(training.rows)

    def save_curves(self, rows: list[Row]) -> None:
        """Write the curves, a line per epoch."""
        text = "".join(json.dumps(row) + "\n" for row in rows)
        checkpoint.replace(self.curves_path, lambda new: new.write_text(text))

    def finish(self, tensors: Mapping[str, Tensor], found: Mapping[str, Any]) -> dict[str, Any]:
        """Write the model and then its card, remove the checkpoint, and return the card.

        Args:
            tensors: of the model, as shipped.
            found: what the card says besides the order and the versions.
        """
        checkpoint.save_model(self.model_path, tensors)
        digest = hashlib.sha256(self.model_path.read_bytes()).hexdigest()
        card = described(self._order) | dict(found) | {"sha256": digest}
        card |= {
            "versions": versions(str(found.get("device", "cpu"))),
            "training": self._order.numbers(),
        }
        text = json.dumps(card, indent=1) + "\n"
        checkpoint.replace(self.card_path, lambda new: new.write_text(text))
        self._checkpoint.unlink(missing_ok=True)
        return card

    def _demand_same(self, found: Mapping[str, Any]) -> None:
        for key, value in self._order.numbers().items():
            if found.get(key) != value:
                raise ParameterError(
                    f"'{self._path}' holds a training with {key} {found.get(key)}, got {value}"
                )


def described(order: Order) -> dict[str, Any]:
    """Return the order as the card says it to people."""
    n_held = order.recipe.validation
    held = f", {n_held:,} of them for validation" if n_held else ", none for validation"
    mean, std = (" ".join(f"{v:.4f}".lstrip("0") for v in values) for values in (MEAN, STD))
    return {
        "architecture": order.architecture,
        "data": f"CIFAR-10 train, {order.n_images:,} images{held}",
        "setting": f"{order.setting_name}: {order.setting.description}",
        "recipe": f"{order.recipe_name}: {order.recipe.describe()}",
        "seed": order.seed,
        "epochs": order.recipe.epochs,
        "normalisation": f"mean {mean}, std {std}",
        "weights_dtype": "bfloat16 for tensors with two or more dimensions, float32 otherwise",
    }


def versions(device: str = "cpu") -> dict[str, str]:
    """Return the versions that a result may depend on; on CUDA its own and cuDNN's too."""
    found = {
        "weightcast": weightcast.__version__,
        "torch": torch.__version__,
        "numpy": np.__version__,
        "python": platform.python_version(),
    }
    if device.startswith("cuda"):
        cudnn = torch.backends.cudnn.version()  # type: ignore[no-untyped-call]
        found |= {"cuda": str(torch.version.cuda), "cudnn": str(cudnn)}
    return found
