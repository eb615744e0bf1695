"""The data sets of torchvision that are tasks: their classes, splits and normalisation."""

import difflib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from weightcast.errors import UnknownNameError

IMAGENET = ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225))
"""Of all photographs here. Source: torchvision, `transforms/_presets.py`, ImageClassification."""

SYMMETRIC = ((0.5,), (0.5,))
"""Pixels in 0 .. 1 become -1 .. 1."""

MOST_VALIDATION = 5_000


@dataclass(frozen=True, slots=True, kw_only=True)
class Entry:
    """What has to be known of a data set.

    Args:
        n_classes: None: the folder tells.
        train, test: arguments of torchvision's class.
        validation: likewise; None: a tenth of the training samples is held back, at most 5,000.
        scale: mean and standard deviation of the pixels, in 0 .. 1, per channel or for all.
        sizes: training and test samples; None: the data tell.
        side: of all pictures, in pixels; None: they differ.
    """

    n_classes: int | None
    train: Mapping[str, Any] = field(default_factory=lambda: {"train": True})
    test: Mapping[str, Any] = field(default_factory=lambda: {"train": False})
    validation: Mapping[str, Any] | None = None
    scale: tuple[tuple[float, ...], tuple[float, ...]] = IMAGENET
    sizes: tuple[int, int] | None = None
    side: int | None = None


def _in_splits(n_classes: int, train: str, validation: str | None, test: str) -> Entry:
    return Entry(
        n_classes=n_classes,
        train={"split": train},
        validation=None if validation is None else {"split": validation},
        test={"split": test},
    )


CATALOGUE: dict[str, Entry] = {
    "CIFAR10": Entry(
        n_classes=10,
        scale=((0.4914, 0.4822, 0.4465), (0.2470, 0.2435, 0.2616)),
        sizes=(50_000, 10_000),
        side=32,
    ),
    "CIFAR100": Entry(
        n_classes=100,
        scale=((0.5071, 0.4865, 0.4409), (0.2673, 0.2564, 0.2762)),
        sizes=(50_000, 10_000),
        side=32,
    ),
    "Country211": _in_splits(211, "train", "valid", "test"),
    "DTD": _in_splits(47, "train", "val", "test"),
    "FGVCAircraft": _in_splits(100, "train", "val", "test"),
    "FashionMNIST": Entry(
        n_classes=10, scale=((0.2860,), (0.3530,)), sizes=(60_000, 10_000), side=28
    ),
    "Food101": _in_splits(101, "train", None, "test"),
    "GTSRB": _in_splits(43, "train", None, "test"),
    "ImageFolder": Entry(n_classes=None),
    "Imagenette": _in_splits(10, "train", None, "val"),
    "KMNIST": Entry(n_classes=10, scale=((0.1918,), (0.3483,)), sizes=(60_000, 10_000), side=28),
    "MNIST": Entry(n_classes=10, scale=((0.1307,), (0.3081,)), sizes=(60_000, 10_000), side=28),
    "OxfordIIITPet": _in_splits(37, "trainval", None, "test"),
    "STL10": Entry(
        n_classes=10,
        train={"split": "train"},
        test={"split": "test"},
        sizes=(5_000, 8_000),
        side=96,
    ),
    "SVHN": Entry(
        n_classes=10,
        train={"split": "train"},
        test={"split": "test"},
        scale=((0.4377, 0.4438, 0.4728), (0.1980, 0.2010, 0.1970)),
        sizes=(73_257, 26_032),
        side=32,
    ),
    "USPS": Entry(n_classes=10, scale=SYMMETRIC, sizes=(7_291, 2_007), side=16),
}
"""By the name of the class in torchvision.datasets.

Where the scale is no constant above, it is the mean and the standard deviation of the training
images; that of CIFAR-100 as in github.com/weiaicunzai/pytorch-cifar100, `conf/global_settings.py`,
that of MNIST as in github.com/pytorch/examples, `mnist/main.py`.
"""


def entry_of(data: str) -> Entry:
    """Return the entry of a data set.

    Raises:
        UnknownNameError: there is none; says which names are close.
    """
    if data not in CATALOGUE:
        raise unknown("data set", data, CATALOGUE)
    return CATALOGUE[data]


def n_validation(n_train: int) -> int:
    """Return how many of the training samples are held back."""
    return min(MOST_VALIDATION, n_train // 10)


def unknown(noun: str, name: str, known: Iterable[str]) -> UnknownNameError:
    """Return the error for a name that is not known, with those that are close, or with all."""
    by_lower = {one.lower(): one for one in known}
    close = [by_lower[one] for one in difflib.get_close_matches(name.lower(), by_lower, n=5)]
    if close:
        return UnknownNameError(
            f"no {noun} '{name}' of torchvision; close to it: {', '.join(close)}"
        )
    all_names = ", ".join(sorted(by_lower.values()))
    return UnknownNameError(f"no {noun} '{name}' of torchvision; known: {all_names}")
