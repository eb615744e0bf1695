"""Received models where the user wants them: whole or not at all, never over something else."""

import io
import json
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file

from weightcast.errors import ModelError, ParameterError
from weightcast.models.files.saving import check_out, new_file, save_received
from weightcast.models.weights import Model, open_model, put_together

TENSORS = {
    "a.weight": torch.linspace(-3, 3, 8).bfloat16().reshape(2, 4),
    "b.weight": torch.arange(6, dtype=torch.float32).reshape(2, 3),
    "c.mask": torch.tensor([True, False, True]),
    "d.steps": torch.tensor(3),
}
NAMES = ("one.safetensors", "two.safetensors")
INDEX = "model.safetensors.index.json"


@pytest.fixture
def sharded(tmp_path: Path) -> Iterator[Model]:
    folder = tmp_path / "source"
    folder.mkdir()
    shard_of = {name: NAMES[i % 2] for i, name in enumerate(TENSORS)}
    for shard in NAMES:
        tensors = {n: TENSORS[n] for n, s in shard_of.items() if s == shard}
        save_file(tensors, folder / shard, {"format": "pt", "from": shard})
    (folder / INDEX).write_text(json.dumps({"weight_map": shard_of}))
    with open_model(folder) as model:
        yield model


@pytest.fixture
def received(tmp_path: Path, sharded: Model) -> Path:
    path = tmp_path / "received"
    with path.open("wb") as file:
        carried = {tensor.name: raw for tensor, raw in sharded.carried()}
        put_together(file, sharded.layout, [sharded[:]], carried)
    return path


def loaded(folder: Path) -> dict[str, torch.Tensor]:
    found: dict[str, torch.Tensor] = {}
    for path in folder.glob("*.safetensors"):
        found |= load_file(path)
    return found


def same(found: dict[str, torch.Tensor]) -> bool:
    wanted = {n: t.float() if "weight" in n else t for n, t in TENSORS.items()}
    return found.keys() == wanted.keys() and all(
        found[n].dtype == t.dtype and torch.equal(found[n], t) for n, t in wanted.items()
    )


def names_in(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def test_a_file_is_the_received_one(tmp_path: Path, received: Path, sharded: Model) -> None:
    out = tmp_path / "new" / "out.safetensors"
    save_received(received, out, sharded)
    assert same(load_file(out))
    assert names_in(out.parent) == ["out.safetensors"]


def test_a_folder_has_the_shards_of_the_source(
    tmp_path: Path, received: Path, sharded: Model
) -> None:
    out = tmp_path / "out"
    save_received(received, out, sharded)
    assert names_in(out) == sorted([*NAMES, INDEX])
    assert same(loaded(out))
    with open_model(out) as model:
        assert model.shards.shard_of == sharded.shards.shard_of
        assert model.metadata == {"format": "pt", "from": NAMES[0]} == sharded.metadata
    assert json.loads((out / INDEX).read_text())["metadata"] == {"total_size": 14 * 4 + 3 + 8}


def test_a_folder_of_a_single_file_has_one(tmp_path: Path, received: Path) -> None:
    with open_model(received) as single:
        save_received(received, tmp_path / "out", single)
    assert names_in(tmp_path / "out") == ["model.safetensors"]
    assert same(loaded(tmp_path / "out"))


@pytest.mark.parametrize(("size", "n_shards"), [(1, 4), (32, 3), (10**6, 1)])
def test_a_model_is_cut_into_new_shards(
    tmp_path: Path, received: Path, sharded: Model, size: int, n_shards: int
) -> None:
    out = tmp_path / "out"
    save_received(received, out, sharded, max_shard_bytes=size)
    last = f"model-{n_shards:05}-of-{n_shards:05}.safetensors"
    assert len(names_in(out)) == n_shards + 1 and last in names_in(out)
    assert same(loaded(out))
    with open_model(out) as cut:
        assert cut[:].tobytes() == sharded[:].tobytes()


def test_what_is_there_stays_unless_it_is_the_same_kind_and_may_go(
    tmp_path: Path, received: Path, sharded: Model
) -> None:
    file, folder = tmp_path / "out.safetensors", tmp_path / "out"
    for out in (file, folder):
        save_received(received, out, sharded)
        with pytest.raises(ParameterError, match=r"is there already$"):
            save_received(received, out, sharded)
        save_received(received, out, sharded, replace=True)
    assert same(load_file(file)) and same(loaded(folder))

    (folder / "notes.txt").write_text("mine")
    with pytest.raises(ParameterError, match=r"holds more than a model: notes\.txt"):
        save_received(received, folder, sharded, replace=True)
    folder.rename(tmp_path / "folder.safetensors")
    with pytest.raises(ParameterError, match="is there already and is not a file"):
        check_out(tmp_path / "folder.safetensors", replace=True)
    file.rename(folder)
    with pytest.raises(ParameterError, match="it is not a folder"):
        save_received(received, folder, sharded, replace=True)
    assert not [name for name in names_in(tmp_path) if name.startswith(".")]


def test_what_breaks_off_leaves_nothing(tmp_path: Path, received: Path, sharded: Model) -> None:
    received.write_bytes(received.read_bytes()[:-1])
    with pytest.raises(ModelError, match="is not a safetensors file that can be read"):
        save_received(received, tmp_path / "out", sharded)
    with pytest.raises(KeyboardInterrupt), new_file(tmp_path / "x.safetensors") as file:
        file.write(b"half")
        raise KeyboardInterrupt
    assert names_in(tmp_path) == ["received", "source"]


def test_another_model_is_not_saved_in_its_shards(tmp_path: Path, sharded: Model) -> None:
    save_file({"a.weight": torch.zeros(2, 4)}, tmp_path / "other")
    with pytest.raises(ModelError, match=r"what was sent differ by 'b\.weight'"):
        save_received(tmp_path / "other", tmp_path / "out", sharded)
    assert names_in(tmp_path) == ["other", "source"]


def test_a_received_file_may_have_no_name(tmp_path: Path, received: Path, sharded: Model) -> None:
    with received.open("rb") as file:
        received.unlink()
        assert isinstance(file, io.BufferedReader)
        save_received(Path(f"/dev/fd/{file.fileno()}"), tmp_path / "out", sharded)
    assert same(loaded(tmp_path / "out"))
