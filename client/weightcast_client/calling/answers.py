"""Answers of a receiver, as far as a sender reads them."""

from typing import Literal, NotRequired, TypedDict


class Work(TypedDict):
    """Work of the receiver on a transmission: how far it is."""

    phase: Literal["decoding", "evaluating"]
    done: int
    total: int


class Report(TypedDict):
    """Report of the receiver on a transmission that is done; without a task no accuracy."""

    weights_digest: str
    seconds: dict[str, float]
    accuracy: NotRequired[float]
    correct: NotRequired[int]
    n_images: NotRequired[int]
    arithmetic: NotRequired[str]


class State(TypedDict):
    """State of a transmission."""

    state: str
    progress: Work | None
    report: Report | None
    error: dict[str, str] | None


class ArrivedParts(TypedDict):
    """Numbers of the parts that have arrived, and whether side information has."""

    parts: list[int]
    side: bool
