import io
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from safetensors.numpy import load
from safetensors.torch import save_file

from weightcast.arrays import refuse_non_finite
from weightcast.errors import ModelError, WeightcastError, WeightsError
from weightcast.models.tensors import Tensor, write_index
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


def refused(path: Path, message: str) -> None:
    with pytest.raises(WeightcastError, match=message):
        Model(path, lambda tensor: len(tensor.shape) >= 2)


def test_what_is_not_a_model_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "x.safetensors"
    refused(path, "cannot read the model .*No such file")
    refused(tmp_path, "the folder .* has no safetensors file$")
    refused(Path("/dev/null"), "it is neither a file nor a folder")
    path.write_bytes(bytes(9))
    refused(path, "is not a safetensors file that can be read: its index is not a JSON|not JSON")
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


def test_a_weight_has_its_place_in_a_tensor(path: Path) -> None:
    with open_model(path) as model:
        for at, value in enumerate(model[:]):
            name, index = model.place(at)
            assert TENSORS[name][index].float() == value
        with pytest.raises(IndexError, match=r"weights are 0 .. 17, got 18"):
            model.place(18)


def test_a_weight_that_is_not_finite_is_named_by_its_tensor(tmp_path: Path) -> None:
    path = tmp_path / "nan.safetensors"
    bad = torch.zeros(4, 8)
    bad[3, 7] = float("nan")
    save_file({"a.weight": torch.zeros(2, 2), "b.weight": bad}, path)
    with (
        open_model(path) as model,
        pytest.raises(WeightsError, match=r"tensor 'b.weight' at \[3, 7\] is nan; weights must be"),
    ):
        refuse_non_finite(model[:], source=model)
    with pytest.raises(WeightsError, match="weight 35 is nan; weights must be finite"):
        refuse_non_finite(np.append(np.zeros(5), [np.nan]).astype(np.float32), at=30)


def test_thousands_of_tensors_open_at_once(tmp_path: Path) -> None:
    path = tmp_path / "many.safetensors"
    tensors = [Tensor(f"experts.{i}.weight", "F32", (1, 1)) for i in range(20_000)]
    path.write_bytes(write_index(tensors) + bytes(80_000))
    with open_model(path) as model:
        assert len(model) == 20_000 == len(model.layout.weights)
        assert model.notes == ()


@pytest.mark.parametrize("name", ["", "x" * 600, "a\nb", "é\0", "__len__", "a/../b"])
def test_odd_names_come_back(tmp_path: Path, name: str) -> None:
    path = tmp_path / "odd.safetensors"
    path.write_bytes(
        write_index([Tensor(name, "F32", (2, 2))]) + np.arange(4.0, dtype="f4").tobytes()
    )
    with open_model(path) as model:
        assert model.place(3) == (name, (1, 1))
        file = io.BytesIO()
        put_together(file, model.layout, [model[:]], {})
    assert load(file.getvalue())[name].tolist() == [[0, 1], [2, 3]]


def test_a_pattern_that_matches_no_tensor_is_noted(path: Path) -> None:
    with open_model(path, chosen_by(["*weight"], ["weight$"])) as model:
        assert model.notes == ("the pattern 'weight$' matches no tensor",)
    with open_model(path, chosen_by([], [])) as model:
        assert model.notes == ()


def test_a_model_without_weights_opens_only_to_be_looked_at(tmp_path: Path) -> None:
    save_file({"bias": torch.zeros(3)}, tmp_path / "m.safetensors", {"format": "pt"})
    with open_model(tmp_path / "m.safetensors", empty=True) as model:
        assert len(model) == 0 == len(model[:])
        assert model.metadata == {"format": "pt"}
