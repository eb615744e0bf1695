"""A model in memory is the one in its file, with its own weights or with others."""

from pathlib import Path

import numpy as np
import torch
from safetensors.torch import load_file

from weightcast.experiment.examiner import tensors_of
from weightcast.models.weights import open_model


def test_the_tensors_of_a_model_are_those_of_its_file(small_path: Path) -> None:
    with open_model(small_path) as model:
        found = tensors_of(model)
    for name, tensor in load_file(small_path).items():
        assert found.pop(name).equal(tensor), name
    assert not found


def test_other_weights_stand_in_order_in_memory_of_their_own(small_path: Path) -> None:
    with open_model(small_path) as model:
        weights = np.arange(len(model), dtype=np.float32)
        found = tensors_of(model, weights)
        names = [tensor.name for tensor in model.layout.weights]
    together = torch.cat([found[name].flatten() for name in names])
    assert together.tolist() == weights.tolist()
    found[names[0]].zero_()
    assert weights[1] == 1
    assert found["count"] == 3
