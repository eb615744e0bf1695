"""A training on a machine with a GPU and no network, in one call with a limit of time.

    python experiments/gpu/train.py SETTING --cache FOLDER --out FOLDER --minutes 8

It needs torch, numpy and safetensors alone, and the four `cifar10-*.npy` that `client data` leaves
in its cache. It checks the machine and the data, times some steps, then trains until the model is
done or the time is up. The same call goes on from the checkpoint. A model that is done lies in
OUT/pieces with its card; `join.py` there puts it together and verifies it.
"""

import argparse
import dataclasses
import json
import shutil
import sys
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
sys.path[:0] = [str(ROOT / "common"), str(Path(__file__).parent)]

import torch  # noqa: E402
from pieces import cut  # noqa: E402

from weightcast.tasks.cifar10 import data  # noqa: E402
from weightcast.training.epochs import Row, Training  # noqa: E402
from weightcast.training.folder import Order, TrainingFolder  # noqa: E402
from weightcast.training.recipes import RECIPES, SETTINGS, changed  # noqa: E402
from weightcast.training.session import (  # noqa: E402
    do_epochs,
    finish,
    machine_for,
    training_of,
)

FLOP_PER_IMAGE = 3 * 2 * 0.5556e9
"""Of a step on ResNet-18: 0.5556e9 products forward, twice as many backward, two FLOP each."""
TO_FINISH_S = 45.0
"""Kept back from the limit for the last checkpoint, the test images and the pieces."""


class Lines:
    """A line per epoch on standard output."""

    def start(self, epoch: int, /) -> None:
        """Say nothing."""

    def report(self, done: int, total: int, loss: float, accuracy: float, /) -> None:
        """Say nothing."""

    def end(self, row: Row, /) -> None:
        """Print the row."""
        print(json.dumps({k: round(v, 4) for k, v in row.items()}), flush=True)


def main() -> int:
    """Do what the arguments ask for; return 0 done, 3 to be gone on with."""
    began = time.monotonic()
    args = arguments()
    recipe = RECIPES[args.recipe]
    recipe = changed(recipe, dict(pair.split("=", 1) for pair in args.set))
    recipe = dataclasses.replace(recipe, epochs=args.epochs or recipe.epochs)
    order = Order(
        architecture="resnet18-cifar10",
        setting_name=args.setting,
        setting=SETTINGS[args.setting],
        recipe_name=args.recipe,
        recipe=recipe,
        seed=args.seed,
        n_images=args.limit,
    )
    folder = TrainingFolder(args.out, order)
    machine, warning = machine_for(folder, args.device, is_compiled=args.compile)
    print(f"torch {torch.__version__}, {machine}{f'; {warning}' if warning else ''}", flush=True)
    images, test = data.load(args.cache, "train"), data.load(args.cache, "test")
    print(f"data verified after {time.monotonic() - began:.1f} s", flush=True)
    training = training_of(order, images, machine)
    if args.benchmark:
        timed(training, machine.device, args.benchmark)
        return 0
    folder.restore_into(training)
    print(f"{len(training.rows)} of {recipe.epochs} epochs done before", flush=True)
    left = 60 * args.minutes - TO_FINISH_S
    do_epochs(
        training,
        folder,
        machine,
        Lines(),
        until=lambda seconds: time.monotonic() - began + seconds > left,
    )
    if not training.is_done:
        print(f"{len(training.rows)} of {recipe.epochs} epochs done; the same call goes on")
        return 3
    card = finish(training, folder, machine, test, "experiments/gpu/train.py")
    print(json.dumps(card, indent=1))
    cut(folder.model_path, args.out / "pieces")
    shutil.copy(folder.card_path, args.out / "pieces")
    return 0


def arguments() -> argparse.Namespace:
    """Return what is asked for."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("setting", choices=SETTINGS)
    parser.add_argument("--cache", type=Path, required=True, help="folder of cifar10-*.npy")
    parser.add_argument("--out", type=Path, required=True, help="folder of the training")
    parser.add_argument("--minutes", type=float, default=8.0, help="limit of time")
    parser.add_argument("--recipe", choices=RECIPES, default="paper")
    parser.add_argument("--epochs", type=int, help="instead of those of the recipe")
    parser.add_argument("--set", action="append", default=[], help="as for `client train`")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--limit", type=int, default=data.N_TRAIN, help="only so many images")
    parser.add_argument("--device", default="cuda", help="auto, cpu or cuda")
    parser.add_argument("--compile", action="store_true", help="let torch.compile fuse operations")
    parser.add_argument("--benchmark", type=int, metavar="N", help="time N steps, train nothing")
    return parser.parse_args()


def timed(training: Training, device: str, n_steps: int) -> None:
    """Print the speed of steps, beside that of a product of matrices on the same device."""
    n_images, seconds = training.time_steps(n_steps)
    rate = n_images / seconds
    flops = FLOP_PER_IMAGE * rate
    print(f"{rate:,.0f} images/s, {flops / 1e12:.1f} TFLOP/s in the steps")
    product = product_rate(device)
    print(f"{product / 1e12:.1f} TFLOP/s in a product of matrices: {flops / product:.0%} of it")


def product_rate(device: str, side: int = 8192) -> float:
    """Return the FLOP/s of products of two square bfloat16 matrices."""
    side = side if device == "cuda" else side // 8
    a = torch.ones(side, side, dtype=torch.bfloat16, device=device)
    wait = torch.get_device_module(device).synchronize
    for _ in range(3):
        a @ a
    wait()
    began = time.perf_counter()
    for _ in range(20):
        a @ a
    wait()
    return 20 * 2 * side**3 / (time.perf_counter() - began)


if __name__ == "__main__":
    sys.exit(main())
