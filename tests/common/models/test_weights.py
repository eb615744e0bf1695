import io
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from safetensors.numpy import load
from safetensors.torch import save_file

from weightcast.errors import ModelError, ParameterError, WeightcastError
from weightcast.models.tensors import Tensor
from weightcast.models.weights import Model, chosen_by, open_model, put_together

TENSORS = {
    "b.weight": torch.arange(6, dtype=torch.float32).reshape(2, 3),
    "a.weight": torch.linspace(-3, 3, 8).bfloat16().reshape(2, 2, 2),
    "c.weight": torch.linspace(-2, 2, 4).half().reshape(4, 1),
    "table": torch.arange(4).reshape(2, 2),
    "b.bias": torch.tensor([1.5, 2.5]),
    "none": torch.zeros(0, 3),
    "steps": torch.tensor(3),
    "mask": torch.tensor([True, False, True]),
}


@pytest.fixture
def path(tmp_path: Path) -> Path:
    path = tmp_path / "model.safetensors"
    save_file(TENSORS, path)
    return path


def test_matrices_of_floats_are_weights_in_order_of_name_and_the_rest_is_carried(
    path: Path,
) -> None:
    with open_model(path) as model:
        assert [t.name for t in model.layout.weights] == [
            "a.weight",
            "b.weight",
            "c.weight",
            "none",
        ]
        carried = {tensor.name: raw for tensor, raw in model.carried()}
        assert list(carried) == ["b.bias", "mask", "steps", "table"]
        assert carried["steps"] == (3).to_bytes(8, "little")
        assert len(model) == 18 == model.layout.n_weights
        assert model.layout.carried_bytes == 8 + 3 + 8 + 32


def test_16_bit_values_widen_exactly(path: Path) -> None:
    with open_model(path) as model:
        names = ("a.weight", "b.weight", "c.weight")
        wanted = torch.cat([TENSORS[name].float().flatten() for name in names]).numpy()
        assert model[:].dtype == np.float32
        assert np.array_equal(model[:], wanted)


@given(start=st.integers(0, 20), length=st.integers(0, 20))
def test_any_slice_is_that_of_the_whole(
    tmp_path_factory: pytest.TempPathFactory, start: int, length: int
) -> None:
    path = tmp_path_factory.getbasetemp() / "sliced.safetensors"
    if not path.exists():
        save_file(TENSORS, path)
    with open_model(path) as model:
        assert np.array_equal(model[start : start + length], model[:][start : start + length])


def test_a_model_taken_apart_and_put_together_is_the_same(path: Path) -> None:
    with open_model(path) as model:
        carried = {tensor.name: raw for tensor, raw in model.carried()}
        file = io.BytesIO()
        put_together(file, model.layout, [model[:5], model[5:]], carried)
    found = load(file.getvalue())
    assert set(found) == set(TENSORS)
    for name, tensor in TENSORS.items():
        wanted = tensor.float() if name.endswith("weight") else tensor
        assert found[name].dtype == wanted.numpy().dtype
        assert np.array_equal(found[name], wanted.numpy())


def test_too_few_weights_are_not_written_as_a_model(path: Path) -> None:
    with open_model(path) as model:
        carried = {tensor.name: raw for tensor, raw in model.carried()}
        with pytest.raises(ModelError, match="the layout has 18 weights, got 17"):
            put_together(io.BytesIO(), model.layout, [model[:17]], carried)


@pytest.mark.parametrize(
    ("include", "exclude", "chosen"),
    [
        ([], [], ["a.weight", "b.weight", "c.weight", "none"]),
        (["^a", "b"], [], ["a.weight", "b.weight"]),
        ([], ["weight$"], ["none"]),
        (["weight"], ["^b"], ["a.weight", "c.weight"]),
        (["bias"], [], []),
    ],
)
def test_patterns_choose_among_the_matrices(
    path: Path, include: list[str], exclude: list[str], chosen: list[str]
) -> None:
    choose = chosen_by(include, exclude)
    tensors = [Tensor(n, "F32", tuple(t.shape)) for n, t in sorted(TENSORS.items()) if n != "table"]
    assert [tensor.name for tensor in tensors if choose(tensor)] == chosen


def test_a_broken_pattern_is_refused() -> None:
    with pytest.raises(ParameterError, match=r"the pattern '\(' is broken"):
        chosen_by(["("], [])


def refused(path: Path, message: str) -> None:
    with pytest.raises(WeightcastError, match=message):
        Model(path, lambda tensor: len(tensor.shape) >= 2)


def test_what_is_not_a_model_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "x.safetensors"
    refused(path, "cannot read the model .*No such file")
    refused(tmp_path, "cannot read the model .*Is a directory")
    path.write_bytes(b"")
    refused(path, "is not a safetensors file")
    path.write_bytes(b"PK\3\4" + bytes(100))
    refused(path, "is not a safetensors file")
    save_file({"bias": torch.zeros(3)}, path)
    refused(path, "has no tensor that could be sent as weights")


def test_a_booby_trapped_pickle_is_not_opened(tmp_path: Path) -> None:
    class Trap:
        def __reduce__(self) -> tuple[object, tuple[str]]:
            return Path.touch, (tmp_path / "sprung",)  # type: ignore[return-value]

    path = tmp_path / "trap.safetensors"
    torch.save({"w": Trap()}, path)
    refused(path, "is not a safetensors file")
    assert not (tmp_path / "sprung").exists()


def test_a_file_cut_while_it_is_open_is_noticed(path: Path) -> None:
    with open_model(path) as model:
        path.write_bytes(path.read_bytes()[:-40])
        with pytest.raises(ModelError, match="became shorter while it was read"):
            list(model.carried())
            model[:]
