"""Models in several files: bit-equal to the single file, or refused in one line that says why."""

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from safetensors.torch import save_file

from weightcast.errors import ModelError
from weightcast.models import zoo
from weightcast.models.weights import open_model

INDEX = "model.safetensors.index.json"
ONE, TWO = "model-00001-of-00002.safetensors", "model-00002-of-00002.safetensors"
TENSORS = {
    "a.weight": torch.linspace(-3, 3, 8).bfloat16().reshape(2, 4),
    "b.weight": torch.arange(6, dtype=torch.float32).reshape(2, 3),
    "c.weight": torch.linspace(-2, 2, 4).half().reshape(4, 1),
    "d.bias": torch.tensor([1.5, 2.5]),
    "e.steps": torch.tensor(3),
    "f.weight": torch.linspace(-9, 9, 10).to(torch.float8_e5m2).reshape(5, 2),
}
SHARDS = dict(zip(TENSORS, (TWO, ONE, TWO, ONE, TWO, ONE), strict=True))


def write(folder: Path, shard_of: Mapping[str, str] = SHARDS, index: Any = None) -> Path:
    """Write the tensors as shards; return the index, which may say something else."""
    folder.mkdir(exist_ok=True)
    for shard in set(shard_of.values()):
        save_file({n: TENSORS[n] for n, s in shard_of.items() if s == shard}, folder / shard)
    fields = {"metadata": {}, "weight_map": shard_of} if index is None else index
    (folder / INDEX).write_text(json.dumps(fields))
    return folder / INDEX


@given(st.lists(st.integers(0, 3), min_size=6, max_size=6), st.integers(0, 30), st.integers(0, 30))
def test_a_sharded_model_reads_bit_equal_to_the_single_file(
    tmp_path_factory: pytest.TempPathFactory, shards: list[int], start: int, stop: int
) -> None:
    folder = tmp_path_factory.mktemp("sharded")
    names = [f"part {i}.safetensors" for i in shards]
    path = write(folder, dict(zip(TENSORS, names, strict=True)))
    save_file(TENSORS, folder / "single")
    with open_model(path) as ours, open_model(folder / "single") as single:
        assert ours.layout == single.layout
        assert ours[:].tobytes() == single[:].tobytes()
        assert ours[start:stop].tobytes() == single[start:stop].tobytes()
        assert list(ours.carried()) == list(single.carried())
        assert [ours.place(i) for i in range(len(ours))] == [
            single.place(i) for i in range(len(single))
        ]
        assert ours.notes == single.notes


def test_a_folder_is_opened_by_what_it_holds(tmp_path: Path) -> None:
    folder = tmp_path / "model"
    index = write(folder)
    with open_model(folder) as model, open_model(index) as same:
        assert model.files == (folder / ONE, folder / TWO) == same.files
        assert model.digest() == same.digest()
    lonely = tmp_path / "lonely"
    lonely.mkdir()
    save_file(TENSORS, lonely / "some.safetensors")
    with open_model(lonely) as model:
        assert model.files == (lonely / "some.safetensors",)
        assert model.digest() == hashlib.sha256(model.files[0].read_bytes()).hexdigest()
    save_file(TENSORS, lonely / "model.safetensors")
    with open_model(lonely) as model:
        assert model.files == (lonely / "model.safetensors",)
    assert zoo.find(str(folder)) == folder


def test_the_digest_is_that_of_the_list_of_shards(tmp_path: Path) -> None:
    index = write(tmp_path)
    shards = [[n, hashlib.sha256((tmp_path / n).read_bytes()).hexdigest()] for n in (ONE, TWO)]
    wanted = hashlib.sha256(json.dumps(shards, separators=(",", ":")).encode()).hexdigest()
    with open_model(index) as model:
        assert model.digest() == wanted == zoo.digest(str(tmp_path))


def refused(path: Path, message: str) -> None:
    with pytest.raises(ModelError, match=message) as caught, open_model(path):
        pass
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"b.weight": TWO}, f"tensor 'b.weight' is in the shard '{ONE}', the index says '{TWO}'"),
        ({"z": ONE}, f"tensor 'z' is not in its shard '{ONE}'"),
        ({"a.weight": "gone.safetensors"}, "the shard 'gone.safetensors' of .* is missing"),
        ({"a.weight": None}, "the shard of tensor 'a.weight' is not a plain file name"),
        ({"a.weight": 3}, "the shard of tensor 'a.weight' is not a plain file name"),
        *(
            ({"a.weight": name}, "the shard of tensor 'a.weight' is not a plain file name")
            for name in ("", "..", "../x.safetensors", "/etc/passwd", "a/b", "a\\b", "c:x", "a\0b")
        ),
    ],
)
def test_an_index_that_does_not_fit_is_refused(tmp_path: Path, changes: Any, message: str) -> None:
    refused(write(tmp_path, index={"weight_map": SHARDS | changes}), message)


def test_a_tensor_that_the_index_lacks_or_two_shards_have_is_refused(tmp_path: Path) -> None:
    less = {name: shard for name, shard in SHARDS.items() if name != "c.weight"}
    path = write(tmp_path, index={"weight_map": less})
    refused(path, f"tensor 'c.weight' of the shard '{TWO}' is not in the index")
    save_file({"b.weight": torch.ones(2, 3)}, tmp_path / "model-3.safetensors")
    path = write(tmp_path, index={"weight_map": SHARDS | {"y": "model-3.safetensors"}})
    refused(path, "tensor 'b.weight' is in")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "is not an index of shards: it is not JSON"),
        ("[]", "it is not a JSON object"),
        ('{"a": 1, "a": 2}', "it has a name twice"),
        ("{}", "it has no 'weight_map'"),
        ('{"weight_map": {}}', "it has no 'weight_map'"),
        ('{"weight_map": []}', "it has no 'weight_map'"),
    ],
)
def test_what_is_no_index_is_refused(tmp_path: Path, text: str, message: str) -> None:
    (tmp_path / INDEX).write_text(text)
    refused(tmp_path / INDEX, message)


def test_a_shard_that_was_not_fetched_is_named(tmp_path: Path) -> None:
    path = write(tmp_path)
    (tmp_path / TWO).write_text("version https://git-lfs.github.com/spec/v1\noid sha256:00\n")
    refused(path, f"{TWO}' is not a safetensors file: it is a pointer of Git LFS.*git lfs pull")


def test_a_folder_with_too_little_or_too_much_is_refused(tmp_path: Path) -> None:
    refused(tmp_path, "the folder .* has no safetensors file$")
    (tmp_path / "pytorch_model.bin").touch()
    refused(tmp_path, "no safetensors file; `client convert` makes one of 'pytorch_model.bin'")
    for name in "ab":
        save_file(TENSORS, tmp_path / f"{name}.safetensors")
    refused(tmp_path, "more than one model; name one: 'a.safetensors', 'b.safetensors'")
    write(tmp_path)
    with open_model(tmp_path) as model:
        assert len(model.files) == 2
    save_file(TENSORS, tmp_path / "model.safetensors")
    refused(tmp_path, "holds more than one model; name one: 'model.safetensors.index.json'")


def test_links_to_shards_elsewhere_are_followed(tmp_path: Path) -> None:
    index = write(tmp_path / "model")
    (tmp_path / "model" / ONE).rename(tmp_path / "blob")
    (tmp_path / "model" / ONE).symlink_to(tmp_path / "blob")  # As in Hugging Face's cache.
    with open_model(index) as model:
        assert np.isfinite(model[:]).all()
