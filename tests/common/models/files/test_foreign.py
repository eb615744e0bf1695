"""Files that are not safetensors: one line that says what they are and what to do."""

import gzip
import io
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from weightcast.errors import ModelError
from weightcast.models.weights import open_model


def zipped(name: str) -> bytes:
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as archive:
        archive.writestr(name, b"x")
    return file.getvalue()


def saved(**how: Any) -> bytes:
    file = io.BytesIO()
    torch.save({"w": torch.zeros(8, 8)}, file, **how)
    return file.getvalue()


def arrays() -> bytes:
    file = io.BytesIO()
    np.savez(file, w=np.zeros(3))
    return file.getvalue()


@pytest.mark.parametrize(
    ("name", "raw", "says"),
    [
        ("a.pth", saved(), "a pickle of torch.save; `client convert "),
        ("a.safetensors", saved(), "a pickle of torch.save; `client convert "),
        ("a b.pt", saved(_use_new_zipfile_serialization=False), "client convert '/"),
        ("a.safetensors", arrays(), "an archive of numpy"),
        ("a.bin", zipped("x"), "client convert"),
        ("a.zip", zipped("x"), "a zip archive; if torch.save wrote it: `client convert"),
        ("a", b"version https://git-lfs.github.com/spec/v1\n", "`git lfs pull`"),
        ("a", b"\n <!DOCTYPE html><html>", "an HTML page"),
        ("a", b"<HTML>", "an HTML page"),
        ("a", b"GGUF\3\0\0\0", "a GGUF file"),
        ("a", b"\x89HDF\r\n\x1a\n" + bytes(9), "an HDF5 file"),
        ("a.onnx", b"\x08\x08\x12\x07pytorch", "an ONNX model"),
        ("a", b"\x93NUMPY\1\0", "an array of numpy"),
        ("a.gz", gzip.compress(b"x"), "a gzip archive; unpack it"),
        ("config.json", b'{"hidden_size": 8}', "JSON text; a model in several files"),
        ("a", b"", "it is empty"),
    ],
)
def test_a_file_of_another_kind_is_told(tmp_path: Path, name: str, raw: bytes, says: str) -> None:
    path = tmp_path / name
    path.write_bytes(raw)
    with pytest.raises(ModelError) as caught, open_model(path):
        pass
    message = str(caught.value)
    assert message.startswith(f"'{path}' is not a safetensors file: it is ")
    assert says in message and "\n" not in message
