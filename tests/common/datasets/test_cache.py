"""The cache on disk where people have it: read-only, in nobody's home, with old scratch in it."""

from pathlib import Path

import pytest

from weightcast.datasets.cache import SCRATCH, alone, tidy
from weightcast.datasets.sources import silent
from weightcast.errors import DataError, ParameterError


def test_scratch_goes_at_the_next_start_even_where_the_data_are_there(tmp_path: Path) -> None:
    (tmp_path / f"{SCRATCH}0").mkdir()
    (tmp_path / f"{SCRATCH}0" / "half").write_bytes(b"half an archive")
    (tmp_path / "toy-a.npy").write_bytes(b"")
    tidy(tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["toy-a.npy"]


def test_the_scratch_of_a_download_that_goes_on_stays(tmp_path: Path) -> None:
    with alone(tmp_path, silent):
        (tmp_path / f"{SCRATCH}0").write_bytes(b"half an array")
        tidy(tmp_path)
        assert (tmp_path / f"{SCRATCH}0").exists()


def test_a_cache_in_a_home_folder_that_nobody_knows_is_a_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("HOME")
    monkeypatch.setattr("pwd.getpwuid", {}.__getitem__)
    with (
        pytest.raises(ParameterError, match=r"^'~/cache' needs a home folder, .*: set HOME, or"),
        alone(Path("~/cache"), silent),
    ):
        pass
    assert not list(tmp_path.iterdir())


def test_a_cache_that_cannot_be_written_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*arguments: object, **more: object) -> None:
        raise PermissionError(13, "Permission denied", "somewhere deep")

    monkeypatch.setattr(Path, "mkdir", refuse)
    said = rf"^'{tmp_path}' cannot be the cache: Permission denied$"
    with pytest.raises(DataError, match=said), alone(tmp_path, silent):
        pass
