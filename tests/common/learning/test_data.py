"""The names that callers knew before `weightcast.tasks.cifar10`, whose tests have the rest."""

from pathlib import Path

import numpy as np
import pytest

from weightcast.errors import DataError
from weightcast.learning import data


def test_an_empty_cache_says_what_to_do(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="`client data` fetches it"):
        data.load(tmp_path, "test")


def test_arrays_with_another_digest_are_neither_kept_nor_loaded(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="test-labels has the SHA-256"):
        data.save(tmp_path, "test-labels", np.zeros(12, np.uint8))
    assert not list(tmp_path.iterdir())
    np.save(tmp_path / "cifar10-test-images.npy", np.zeros((2, 32, 32, 3), np.uint8))
    with pytest.raises(DataError, match="test-images has the SHA-256"):
        data.load(tmp_path, "test")


@pytest.mark.cifar
def test_the_test_set_is_the_known_one() -> None:
    from weightcast_client.settings import Settings

    cache = Settings().cache
    data.ensure(cache, lambda what, done, total: None)
    images, labels = data.load(cache, "test")
    assert images.shape == (10_000, 32, 32, 3) and images.dtype == np.uint8
    assert np.bincount(labels).tolist() == [1000] * 10
