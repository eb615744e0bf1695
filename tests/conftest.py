"""What several tests of the services need: small models, services joined in one process."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from driver.calls import transport_over
from driver.joined import Services
from driver.models import ModelOf, write_model
from driver.services import Driver, Ends
from hypothesis import settings

from weightcast import plugins
from weightcast.setup import KINDS
from weightcast_client.calling.transport import Transport

# The first example may compile a kernel; what hangs is ended by pytest's own time-out.
settings.register_profile("weightcast", deadline=None)
settings.load_profile("weightcast")


@pytest.fixture(scope="module")
def plugins_forgotten() -> Iterator[None]:
    """Schemes, decoders, channels and tasks that a module adds go with it."""
    before = [dict(kind._things) for kind in KINDS]
    yield
    for kind, things in zip(KINDS, before, strict=True):
        kind._things = things
    plugins._loaded.clear()


@pytest.fixture(scope="session")
def driver() -> Driver:
    """Starts services."""
    return Driver()


@pytest.fixture(scope="session")
def ends(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Ends]:
    """A link and a receiver in processes of their own, for all tests that leave them running."""
    with Driver().ends(tmp_path_factory.mktemp("receiver")) as both:
        yield both


@pytest.fixture(scope="module")
def services_database() -> str:
    """The setting `database` of the receiver of `services`: SQLite, where nothing else is said."""
    return ""


@pytest.fixture(scope="module")
def services(
    tmp_path_factory: pytest.TempPathFactory, services_database: str
) -> Iterator[Services]:
    """A link and a receiver for all tests of a module."""
    with Driver(database=services_database).join(tmp_path_factory.mktemp("receiver")) as joined:
        yield joined


@pytest.fixture
def transport(services: Services) -> Iterator[Transport]:
    """A sender's way to the joined services."""
    to_link = transport_over(services.road)
    yield to_link
    to_link.close()


@pytest.fixture(scope="session")
def model_of(tmp_path_factory: pytest.TempPathFactory) -> ModelOf:
    """A call that writes a model of so many weights."""
    folder = tmp_path_factory.mktemp("models")
    return lambda n_weights: write_model(folder / f"{n_weights}.safetensors", n_weights)


@pytest.fixture(scope="session")
def model_path(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A model of three parts."""
    return write_model(tmp_path_factory.mktemp("models") / "model.safetensors")


@pytest.fixture(scope="session")
def small_path(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A model of one short part."""
    return write_model(tmp_path_factory.mktemp("models") / "small.safetensors", 1000)
