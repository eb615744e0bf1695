"""Score: what an evaluation found. Importing this module does not import torch."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class Score:
    """What an evaluation found.

    Args:
        accuracy: in %.
        correct: samples whose class was predicted right.
        n_samples: samples evaluated.
        arithmetic: `bfloat16`, `float32` or `cuda-float32`.
    """

    accuracy: float
    correct: int
    n_samples: int
    arithmetic: str
