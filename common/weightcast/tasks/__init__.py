"""Tasks: what accuracy means for a model. Importing this package does not import torch."""

from weightcast.datasets.base import SPLITS, Fetching, Report, Samples, Split
from weightcast.evaluation.score import Score
from weightcast.registry import Kind
from weightcast.tasks.base import Task
from weightcast.tasks.cifar10 import Cifar10
from weightcast.tasks.mnist import Mnist
from weightcast.tasks.torchvision import Torchvision

TASKS: Kind[Task] = Kind(
    "task", ("score", "network", "samples", "size", "fetch"), (Cifar10, Mnist, Torchvision)
)

DEFAULT_TASK = Cifar10.name

__all__ = [
    "DEFAULT_TASK",
    "SPLITS",
    "TASKS",
    "Fetching",
    "Report",
    "Samples",
    "Score",
    "Split",
    "Task",
]
