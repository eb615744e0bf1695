"""Files that people take for a safetensors file: what they are, and what to do with them."""

import shlex
from pathlib import Path

HEAD_BYTES = 512
"""Bytes at the start of a file that are enough to tell."""

_MAGIC = {
    b"GGUF": "a GGUF file; its quantised blocks are not tensors, take the safetensors of the model",
    b"\x93NUMPY": "an array of numpy; save it as safetensors with `safetensors.numpy.save_file`",
    b"\x89HDF\r\n\x1a\n": "an HDF5 file, as Keras writes it; save its arrays with"
    " `safetensors.numpy.save_file`",
    b"\x1f\x8b": "a gzip archive; unpack it",
    b"\x28\xb5\x2f\xfd": "a zstandard archive; unpack it",
    b"7z\xbc\xaf\x27\x1c": "a 7z archive; unpack it",
    b"version https://git-lfs": "a pointer of Git LFS, not the file itself; `git lfs pull` in its"
    " repository gets it",
}


def what_it_is(head: bytes, path: Path) -> str | None:
    """Return what a file is that is not safetensors, and what to do; None: nobody knows.

    Args:
        head: its first `HEAD_BYTES` bytes, or all of it.
        path: of the file, for its suffix and the advice.
    """
    if not head:
        return "it is empty"
    for magic, meaning in _MAGIC.items():
        if head.startswith(magic):
            return f"it is {meaning}"
    text = head.lstrip(b"\xef\xbb\xbf \t\r\n").lower()
    if text.startswith((b"<!doctype html", b"<html")):
        return "it is an HTML page; the address gave a page instead of the file"
    if text.startswith(b"{"):
        return "it is JSON text; a model in several files is opened by its *.safetensors.index.json"
    if head.startswith(b"PK\x03\x04"):
        return _zip(head, path)
    if head[:1] == b"\x80" and head[1:2] in (b"\x02", b"\x03", b"\x04", b"\x05"):
        return f"it is a pickle, as torch.save wrote it once; {_advice(path)}"
    if path.suffix == ".onnx" or (head[:1] == b"\x08" and head[2:3] == b"\x12"):
        return "it is an ONNX model; save the state_dict it was exported from as safetensors"
    return None


def _zip(head: bytes, path: Path) -> str:
    length = int.from_bytes(head[26:28], "little")  # Of the first name: section 4.3.7 of APPNOTE.
    name = head[30 : 30 + length]
    if name.endswith(b".npy"):
        return "it is an archive of numpy; save its arrays with `safetensors.numpy.save_file`"
    if name.endswith(b"data.pkl") or path.suffix in (".pth", ".pt", ".bin", ".ckpt"):
        return f"it is a pickle of torch.save; {_advice(path)}"
    return f"it is a zip archive; if torch.save wrote it: {_advice(path)}"


def _advice(path: Path) -> str:
    return f"`client convert {shlex.quote(str(path))}` makes a safetensors file of it"
