"""The numbers of the paper: test accuracy in %, one draw of noise each as far as it tells.

Source: Isik, *Robust Coding Strategies for Neural Network Weights*, tables 1 to 4.
"""

from dataclasses import dataclass

STDS = (0.001, 0.005, 0.01, 0.05, 0.1, 0.5, 1.0)
CHANCE = 10.0
"""Accuracy in % of a guess among ten classes."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Table:
    """One table of accuracies.

    Args:
        number: in the paper.
        setting: of the training.
        clean: accuracy without noise.
        rows: accuracy at each of `STDS` by scheme.
    """

    number: int
    setting: str
    clean: float
    rows: dict[str, tuple[float, ...]]

    @property
    def model(self) -> str:
        """The shipped model that was trained in this setting."""
        return f"resnet18-cifar10-{self.setting}"


TABLES = (
    Table(
        number=1,
        setting="l2",
        clean=95.45,
        rows={
            "unprotected": (95.40, 95.27, 94.60, 9.54, 8.18, 10.39, 10.26),
            "sign-protection": (95.42, 95.25, 95.03, 74.49, 10.14, 10.02, 10.01),
            "adaptive-mapping": (95.42, 95.40, 95.40, 95.08, 94.00, 15.97, 10.07),
            "adaptive-redundancy": (95.45, 95.43, 95.42, 95.26, 95.12, 82.81, 10.39),
        },
    ),
    Table(
        number=2,
        setting="none",
        clean=93.17,
        rows={
            "unprotected": (93.04, 92.74, 90.81, 10.01, 10.33, 9.45, 9.15),
            "adaptive-redundancy": (93.17, 93.15, 93.18, 93.13, 92.96, 73.28, 10.69),
        },
    ),
    Table(
        number=3,
        setting="l1",
        clean=93.30,
        rows={
            "unprotected": (93.20, 91.88, 88.72, 9.50, 10.00, 9.91, 10.06),
            "adaptive-redundancy": (93.32, 93.29, 93.32, 93.28, 93.01, 84.55, 10.05),
        },
    ),
    Table(
        number=4,
        setting="dropout",
        clean=93.15,
        rows={
            "unprotected": (93.16, 92.75, 91.05, 10.03, 10.08, 11.75, 11.34),
            "adaptive-redundancy": (93.13, 93.15, 93.14, 93.13, 92.98, 81.96, 10.37),
        },
    ),
)
