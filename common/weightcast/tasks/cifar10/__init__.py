"""CIFAR-10 and its ResNet-18."""

from weightcast.tasks.cifar10.task import Cifar10

__all__ = ["Cifar10"]
