"""Files of torch.save: their tensors come out bit-equal, and nothing in them runs."""

import os
import pickle
from collections import OrderedDict
from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from safetensors.torch import load_file
from torch import nn

from weightcast.errors import ModelError, ParameterError
from weightcast.models.convert import convert

BASE = torch.arange(24, dtype=torch.float32).reshape(4, 6)
TENSORS: dict[str, Any] = {
    "module.a.weight": BASE,
    "module.tied.weight": BASE,
    "module.turned": BASE.T,
    "module.cut": BASE[1:3, ::2],
    "module.spread": torch.ones(1, 3).expand(4, 3),
    "half": BASE.bfloat16(),
    "eight": BASE.to(torch.float8_e4m3fn),
    "complex": torch.tensor([1 + 2j, 3 - 1j]).conj(),
    "steps": torch.tensor(7),
    "mask": torch.tensor([True, False]),
    "none": torch.zeros(0, 3),
    "parameter": nn.Parameter(torch.ones(2, 2)),
}


def saved(path: Path, value: Any, *, old: bool = False) -> Path:
    torch.save(value, path, _use_new_zipfile_serialization=not old)
    return path


@pytest.mark.parametrize("old", [False, True])
@pytest.mark.parametrize("key", ["", "state_dict", "model_state_dict", "model", "net", "params"])
def test_the_tensors_come_out_as_they_are(tmp_path: Path, key: str, old: bool) -> None:
    state = OrderedDict(TENSORS)
    if old:
        del state["eight"]  # torch itself cannot read it back.
    whole = {key: state, "epoch": 3, "optimizer": {"lr": 0.1}} if key else state | {"epoch": 3}
    source, out = saved(tmp_path / "a.pth", whole, old=old), tmp_path / "a.safetensors"
    done = convert(source, out)
    assert (done.n_tensors, done.key) == (len(state), key)
    assert done.dropped == (("epoch", "optimizer") if key else ("epoch",))
    found = load_file(out)
    assert found.keys() == state.keys()
    for name, tensor in state.items():
        assert found[name].dtype == tensor.dtype
        if name == "eight":  # torch cannot compare them as they are.
            assert torch.equal(found[name].float(), tensor.float())
        else:
            assert torch.equal(found[name], tensor)


def test_packed_4_bit_values_have_two_to_an_element(tmp_path: Path) -> None:
    packed = torch.arange(6, dtype=torch.uint8).reshape(2, 3).view(torch.float4_e2m1fn_x2)
    convert(saved(tmp_path / "a.pt", {"w": packed}), tmp_path / "a.safetensors")
    assert b'"dtype":"F4","shape":[2,6]' in (tmp_path / "a.safetensors").read_bytes()


class Trap:
    def __init__(self, path: Path) -> None:
        self._path = path

    def __reduce__(self) -> Any:
        return os.mkdir, (str(self._path),)


@pytest.mark.parametrize("how", ["zip", "old", "plain"])
def test_a_booby_trap_does_not_spring(tmp_path: Path, how: str) -> None:
    source, sprung = tmp_path / "trap.pth", tmp_path / "sprung"
    value = {"state_dict": {"w": torch.ones(2, 2)}, "x": Trap(sprung)}
    if how == "plain":
        source.write_bytes(pickle.dumps({"x": Trap(sprung)}))
    else:
        saved(source, value, old=how == "old")
    with pytest.raises(ModelError, match="cannot be converted") as caught:
        convert(source, tmp_path / "a.safetensors")
    assert how == "plain" or "would call 'posix.mkdir'" in str(caught.value)
    assert "\n" not in str(caught.value)
    assert [path.name for path in tmp_path.iterdir()] == ["trap.pth"]


def test_a_pickled_module_is_refused_with_advice(tmp_path: Path) -> None:
    source = saved(tmp_path / "a.pth", nn.Linear(2, 2))
    with pytest.raises(ModelError, match=r"would call 'torch\.nn.*save the model's state_dict\(\)"):
        convert(source, tmp_path / "a.safetensors")


@pytest.mark.parametrize(
    ("value", "says"),
    [
        ([torch.ones(2)], "holds a list, not a state_dict"),
        (torch.ones(2), "holds a Tensor, not a state_dict"),
        ({"epoch": 3}, "has no tensors at the top nor under state_dict, .*; it has 'epoch'"),
        ({}, "it has nothing"),
        ({"w": torch.ones(2, dtype=torch.complex128)}, "'w' is complex128, which safetensors"),
        ({"w": torch.ones(2, 2).to_sparse()}, "'w' is sparse_coo"),
    ],
)
def test_what_has_no_plain_tensors_is_refused(tmp_path: Path, value: Any, says: str) -> None:
    with pytest.raises(ModelError, match=says):
        convert(saved(tmp_path / "a.pth", value), tmp_path / "a.safetensors")
    assert not (tmp_path / "a.safetensors").exists()


def test_nothing_is_overwritten_unasked(tmp_path: Path) -> None:
    source, out = saved(tmp_path / "a.pth", {"w": torch.ones(2)}), tmp_path / "a.safetensors"
    out.write_text("mine")
    with pytest.raises(ParameterError, match="is there already"):
        convert(source, out)
    assert out.read_text() == "mine"
    convert(source, out, replace=True)
    assert load_file(out)["w"].tolist() == [1, 1]
    with pytest.raises(ParameterError, match=r"must end with .safetensors, got .*a.pth"):
        convert(source, source, replace=True)
    with pytest.raises(ModelError, match=r"cannot read .*No such file"):
        convert(tmp_path / "gone.pth", tmp_path / "b.safetensors")


@given(data=st.data(), old=st.booleans())
def test_no_bytes_break_it(
    tmp_path_factory: pytest.TempPathFactory, data: st.DataObject, old: bool
) -> None:
    folder = tmp_path_factory.mktemp("broken")
    raw = bytearray(saved(folder / "a.pth", {"w": torch.ones(2, 2)}, old=old).read_bytes())
    for _ in range(data.draw(st.integers(1, 4))):
        at = data.draw(st.integers(0, len(raw) - 1))
        raw[at] = data.draw(st.integers(0, 255))
    del raw[data.draw(st.integers(0, len(raw))) :]
    (folder / "a.pth").write_bytes(raw)
    try:
        convert(folder / "a.pth", folder / "a.safetensors")
    except ModelError as error:
        assert "\n" not in str(error)


@given(st.binary(max_size=200))
def test_no_pickle_breaks_it(tmp_path_factory: pytest.TempPathFactory, raw: bytes) -> None:
    path = tmp_path_factory.getbasetemp() / "raw.pth"
    path.write_bytes(b"\x80\x02" + raw)
    with pytest.raises(ModelError):
        convert(path, path.with_suffix(".safetensors"))
