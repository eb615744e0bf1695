"""Networks and data sets of torchvision, by name."""

from weightcast.tasks.torchvision.task import Torchvision

__all__ = ["Torchvision"]
