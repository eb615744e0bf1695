import json
import subprocess
import sys

import pytest
import torch

from weightcast.errors import ModelError
from weightcast.models import zoo
from weightcast.models.tensors import Tensor, read_index
from weightcast.registry import build, spec_of
from weightcast.tasks import TASKS, Task
from weightcast.tasks.cifar10 import Cifar10
from weightcast.tasks.mnist import Mnist
from weightcast.tasks.mnist.networks import NETWORKS
from weightcast.tasks.recognition import KEY, LAYOUTS, layout_digest, recognise

TASKS_WITH_LAYOUT: list[Task] = [Cifar10(), *(Mnist(model=model) for model in NETWORKS)]


def tensors_of(task: Task) -> list[Tensor]:
    with torch.device("meta"):
        state = task.network().state_dict()
    return [Tensor(name, "F32", tuple(tensor.shape)) for name, tensor in state.items()]


@pytest.mark.parametrize("task", TASKS_WITH_LAYOUT)
def test_a_network_is_recognised_by_its_layout(task: Task) -> None:
    found = recognise(tensors_of(task), {})
    assert found == spec_of(task)
    assert build(TASKS, found) == task


def test_every_layout_is_that_of_a_network() -> None:
    assert {layout_digest(tensors_of(task)) for task in TASKS_WITH_LAYOUT} == LAYOUTS.keys()


def test_order_types_and_scalars_do_not_matter() -> None:
    tensors = tensors_of(Cifar10())[::-1]
    plain = [Tensor(t.name, "BF16", t.shape) for t in tensors if t.shape]
    assert len(plain) < len(tensors)
    assert recognise([*plain, Tensor("epoch", "I64", ())], {}) == {"name": "cifar10"}


@pytest.mark.parametrize("prefix", ["module.", "_orig_mod.", "model.", "module._orig_mod."])
def test_what_wrappers_put_before_all_names_does_not_matter(prefix: str) -> None:
    plain = tensors_of(Mnist(model="cnn"))
    wrapped = [Tensor(prefix + t.name, t.dtype, t.shape) for t in plain]
    assert recognise(wrapped, {}) == {"name": "mnist", "model": "cnn"}
    assert recognise([*plain[:-1], wrapped[-1]], {}) is None


def test_another_name_or_shape_is_another_layout() -> None:
    first, *rest = tensors_of(Mnist())
    assert recognise([Tensor(first.name, "F32", first.shape[::-1]), *rest], {}) is None
    assert recognise([Tensor("x", "F32", first.shape), *rest], {}) is None
    assert recognise([], {}) is None


def test_the_metadata_go_before_the_layout() -> None:
    spec = {"name": "mnist", "model": "cnn"}
    metadata = {KEY: json.dumps(spec), "format": "pt"}
    assert recognise(tensors_of(Cifar10()), metadata) == spec
    assert recognise([Tensor("x", "F32", (2, 3))], metadata) == spec
    assert recognise(tensors_of(Cifar10()), {"format": "pt"}) == {"name": "cifar10"}


@pytest.mark.parametrize("text", ["", "mnist", "[]", '{"model": "cnn"}', '{"name": 3}', "[" * 9999])
def test_metadata_that_are_no_spec_are_refused(text: str) -> None:
    with pytest.raises(ModelError, match="'weightcast-task' are not the JSON spec of a task"):
        recognise([], {KEY: text})


def test_the_shipped_models_are_recognised() -> None:
    for path in zoo.models().values():
        with path.open("rb") as file:
            tensors = read_index(file, path.stat().st_size)
        assert recognise(tensors, {}) == {"name": "cifar10"}


def test_recognition_does_not_import_torch() -> None:
    program = "import sys, weightcast.tasks.recognition; sys.exit('torch' in sys.modules)"
    subprocess.run([sys.executable, "-c", program], check=True, timeout=60)
