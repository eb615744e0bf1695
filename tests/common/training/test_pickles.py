"""Files that would run code when they are unpickled: refused, and the code does not run."""

import os
import pickle
from pathlib import Path
from typing import Any

import pytest
import torch

from weightcast.errors import DataError, ModelError
from weightcast.models import weights
from weightcast.tasks.cifar10 import data


class Trap:
    """Makes a folder when it is unpickled."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def __reduce__(self) -> Any:
        return os.mkdir, (str(self._path),)


@pytest.fixture(params=["pickle", "torch", "torch of old", "numpy"])
def trapped(request: pytest.FixtureRequest, tmp_path: Path) -> Any:
    """A call that writes a trap under a name."""

    def write(path: Path) -> None:
        trap = {"weight": Trap(tmp_path / "sprung")}
        if request.param == "pickle":
            path.write_bytes(pickle.dumps(trap))
        elif request.param == "numpy":
            path.write_bytes(
                b"\x93NUMPY\x01\0v\0{'descr': '|O', 'fortran_order': False, 'shape': ()}"
            )
        else:
            with path.open("wb") as file:
                torch.save(trap, file, _use_new_zipfile_serialization=request.param == "torch")

    yield write
    assert not (tmp_path / "sprung").exists()


def test_a_trap_springs_when_it_is_unpickled(tmp_path: Path) -> None:
    pickle.loads(pickle.dumps(Trap(tmp_path / "sprung")))
    assert (tmp_path / "sprung").exists()


def test_a_model_that_is_a_pickle_is_refused(trapped: Any, tmp_path: Path) -> None:
    path = tmp_path / "model.safetensors"
    trapped(path)
    with pytest.raises(ModelError), weights.open_model(path):
        pass


def test_a_cache_of_images_that_is_a_pickle_is_refused(trapped: Any, tmp_path: Path) -> None:
    trapped(tmp_path / "cifar10-test-images.npy")
    with pytest.raises(DataError):
        data.load(tmp_path, "test")
