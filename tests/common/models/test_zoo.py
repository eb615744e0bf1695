import hashlib
from pathlib import Path

import pytest

from weightcast.errors import UnknownNameError
from weightcast.models import zoo


@pytest.mark.parametrize("name", zoo.models())
def test_every_shipped_model_is_the_file_its_card_speaks_of(name: str) -> None:
    card = zoo.card(name)
    assert hashlib.sha256(zoo.find(name).read_bytes()).hexdigest() == card["sha256"]
    assert {"architecture", "data", "setting", "recipe", "test_correct_float32"} <= card.keys()


def test_the_default_model_is_shipped() -> None:
    assert zoo.DEFAULT_MODEL in zoo.models()


def test_a_file_is_a_model_too(tmp_path: Path) -> None:
    path = tmp_path / "mine.safetensors"
    path.touch()
    assert zoo.find(str(path)) == path


def test_an_unknown_name_lists_the_known_ones() -> None:
    with pytest.raises(UnknownNameError, match=r"no model 'resnt': .*: .*resnet18-cifar10-l2"):
        zoo.find("resnt")
