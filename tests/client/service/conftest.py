"""Sender services, and what they send over."""

import os
from collections.abc import Iterator
from pathlib import Path

import pytest
from driver.senders import Senders
from driver.services import Driver, Ends

from weightcast_web.running.sockets import bind, url_of


@pytest.fixture
def own_ends(tmp_path: Path, driver: Driver) -> Iterator[Ends]:
    """A link and a receiver in processes of their own, for one test."""
    with driver.ends(tmp_path / "receiver") as both:
        yield both


@pytest.fixture
def silent() -> Iterator[str]:
    """The URL of a link that takes connections and never answers."""
    with bind("127.0.0.1", 0) as listener:
        yield url_of(listener)


@pytest.fixture
def senders(tmp_path: Path, model_path: Path, small_path: Path) -> Senders:
    """Sender services with the models `model.safetensors` and `small.safetensors`."""
    made = Senders(tmp_path)
    made.models.mkdir()
    for path in (model_path, small_path):
        os.link(path, made.models / path.name)
    return made
