from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import save_file

from weightcast.models.weights import open_model
from weightcast.models.widening import WEIGHT_DTYPES, values_of, widen_into

ALL_CODES = np.arange(256, dtype=np.uint8)
FLOAT8 = {
    "F8_E4M3": torch.float8_e4m3fn,
    "F8_E5M2": torch.float8_e5m2,
    "F8_E4M3FNUZ": torch.float8_e4m3fnuz,
    "F8_E5M2FNUZ": torch.float8_e5m2fnuz,
    "F8_E8M0": torch.float8_e8m0fnu,
}


@pytest.mark.parametrize("dtype", FLOAT8)
def test_every_code_of_an_8_bit_float_is_what_torch_says(dtype: str) -> None:
    wanted = torch.from_numpy(ALL_CODES).view(FLOAT8[dtype]).float().numpy()
    found = values_of(ALL_CODES, dtype)
    assert found is not None and found.dtype == np.float32
    np.testing.assert_array_equal(found, wanted)
    numbers = ~np.isnan(wanted)
    assert np.array_equal(np.signbit(found)[numbers], np.signbit(wanted)[numbers])
    if dtype in WEIGHT_DTYPES:
        out = np.empty(256, np.float32)
        widen_into(out, ALL_CODES, dtype)
        np.testing.assert_array_equal(out, wanted)


@pytest.mark.parametrize("dtype", ["F4", "F6_E2M3", "C64"])
def test_packed_and_complex_values_are_not_read(dtype: str) -> None:
    assert values_of(ALL_CODES, dtype) is None


def test_8_bit_matrices_are_weights_and_a_note_says_so(tmp_path: Path) -> None:
    matrix = torch.linspace(-400, 400, 12).reshape(3, 4)
    tensors = {f"{name}.w": matrix.to(dtype) for name, dtype in FLOAT8.items()}
    save_file(tensors | {"b": matrix[0].to(torch.float8_e5m2)}, tmp_path / "m.safetensors")
    with open_model(tmp_path / "m.safetensors") as model:
        names = [tensor.name for tensor in model.layout.weights]
        assert names == sorted(name for name in tensors if "E8M0" not in name)
        wanted = torch.cat([tensors[name].float().flatten() for name in names])
        np.testing.assert_array_equal(model[:], wanted.numpy())
        np.testing.assert_array_equal(model[13:35], wanted.numpy()[13:35])
        assert "widened to float32 for sending, exactly: 1 tensor of type F8_E4M3" in model.notes


def written(folder: Path, **tensors: torch.Tensor) -> Path:
    save_file(tensors, folder / "f64.safetensors")
    return folder / "f64.safetensors"


def test_f64_that_float32_holds_is_sent_without_a_word(tmp_path: Path) -> None:
    values = torch.arange(6, dtype=torch.float64).reshape(2, 3)
    with open_model(written(tmp_path, w=values)) as model:
        assert model[:].tolist() == [0, 1, 2, 3, 4, 5]
        assert model.notes == ()


def test_f64_is_rounded_and_a_note_says_how_many(tmp_path: Path) -> None:
    values = torch.tensor([[1.0, 0.1, -0.3, 1e-300]], dtype=torch.float64)
    with open_model(written(tmp_path, w=values)) as model:
        assert np.array_equal(model[:], values.float().flatten().numpy())
        assert model.notes == (
            "rounded to float32 for sending: 1 tensor of type F64, 3 of 4 values change",
        )


def test_f64_beyond_float32_is_carried_and_named(tmp_path: Path) -> None:
    values = torch.ones(2, 3, dtype=torch.float64)
    values[1, 2] = -1e300
    with open_model(written(tmp_path, big=values, ok=torch.ones(8, 8))) as model:
        assert [tensor.name for tensor in model.layout.carried] == ["big"]
        assert model.notes == (
            "tensor 'big' (F64) is carried: -1e+300 at [1, 2] is too large for float32",
        )
    with open_model(written(tmp_path, big=values.fill_(float("inf")))) as model:
        assert np.isinf(model[:]).all()  # Planning refuses it and says where it is.


def test_a_model_that_is_mostly_carried_says_so(tmp_path: Path) -> None:
    path = written(tmp_path, w=torch.ones(2, 2), table=torch.ones(4, 4, dtype=torch.int32))
    with open_model(path) as model:
        assert model.notes == ("16 of 20 values (80.0 %) are carried and meet no noise (16 I32)",)


def test_carried_values_that_are_not_finite_are_noted(tmp_path: Path) -> None:
    bad = torch.tensor([1.0, float("nan"), float("inf")])
    path = written(tmp_path, w=torch.ones(8, 8), var=bad, half=bad.bfloat16(), n=torch.ones(3))
    with open_model(path) as model:
        assert model.notes == (
            "carried tensors hold nan or infinity: 'half' (2 of 3 values), 'var' (2 of 3 values)",
        )
