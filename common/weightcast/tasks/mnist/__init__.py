"""MNIST and two small networks for it."""

from weightcast.tasks.mnist.task import Mnist

__all__ = ["Mnist"]
