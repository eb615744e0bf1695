from pathlib import Path

import torch
from safetensors.torch import save_file

from weightcast.models.values import ValueRange, ranges
from weightcast.models.weights import open_model

NAN, INF = float("nan"), float("inf")


def test_extremes_are_those_of_the_finite_values(tmp_path: Path) -> None:
    save_file(
        {
            "a": torch.tensor([[-3.5, 2.0], [NAN, INF]]),
            "b": torch.tensor([[0.5, -0.25]]).to(torch.float8_e4m3fn),
            "c": torch.tensor([-(2**63), 5]),
            "d": torch.tensor([NAN, -INF]).bfloat16(),
            "e": torch.tensor([True, False]),
            "f": torch.ones(1, dtype=torch.complex64),
            "g": torch.zeros(0, 2),
        },
        tmp_path / "m.safetensors",
    )
    with open_model(tmp_path / "m.safetensors") as model:
        found = {tensor.name: (role, values) for tensor, role, values in ranges(model)}
    nothing = ValueRange(None, None, None, None, None)
    assert found == {
        "a": (True, ValueRange(-3.5, 2.0, 3.5, 1, 1)),
        "b": (True, ValueRange(-0.25, 0.5, 0.5, 0, 0)),
        "c": (False, ValueRange(-(2**63), 5, 2**63, 0, 0)),
        "d": (False, ValueRange(None, None, None, 1, 1)),
        "e": (False, ValueRange(0, 1, 1, 0, 0)),
        "f": (False, nothing),
        "g": (True, ValueRange(None, None, None, 0, 0)),
    }


def test_a_tensor_of_many_pieces_is_read_to_its_end(tmp_path: Path) -> None:
    values = torch.zeros(3, 1_000_000)
    values[0, 0], values[2, -1], values[1, 500_000] = -2, 7, NAN
    save_file({"w": values}, tmp_path / "m.safetensors")
    with open_model(tmp_path / "m.safetensors") as model:
        ((_, _, found),) = ranges(model)
    assert found == ValueRange(-2, 7, 7, 1, 0)
