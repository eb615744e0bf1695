"""What a receiver lets in: so many transmissions, so many bytes; the rest may come back."""

import json
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest
from driver.calls import is_problem, transport_over
from driver.joined import Services
from driver.models import Encoded, encoded
from driver.services import Driver

from weightcast.errors import LinkError
from weightcast_client.calling import retries


@pytest.fixture
def sent(small_path: Path) -> Encoded:
    """A small transmission over a clean channel."""
    return encoded(small_path, channel="noiseless")


@pytest.fixture
def two(driver: Driver, tmp_path: Path) -> Iterator[Services]:
    """Services that let two transmissions in."""
    with driver.join(tmp_path, max_open=2) as own:
        yield own


def test_beyond_the_limit_callers_are_told_to_come_back(two: Services, sent: Encoded) -> None:
    for _ in range(2):
        two.link.open(sent.header)
    answer = two.link.create(sent.header)
    assert is_problem(answer, 503, "too-many")
    assert int(answer.headers["retry-after"]) > 0
    assert len(two.receiver.listed()) == 2
    assert len(list((two.data / "transmissions").iterdir())) == 2


def test_a_key_that_is_known_is_let_in_even_then(two: Services, sent: Encoded) -> None:
    text = sent.header.to_bytes()
    first, _, again = (two.link.create(text, idempotency_key=key) for key in "aba")
    assert again.status_code == 201
    assert again.json()["id"] == first.json()["id"]


@pytest.mark.parametrize("end", ["finished", "deleted"])
def test_what_is_over_makes_room(end: str, two: Services, sent: Encoded) -> None:
    path, _ = (two.link.open(sent.header) for _ in range(2))
    if end == "deleted":
        assert two.link.delete(path).status_code == 204
    else:
        two.link.put_part(path, 0, sent.parts[0])
        two.link.put_side(path, sent.side)
        two.link.complete(path)
        assert two.link.end_of(path)["state"] == "done"
    two.link.open(sent.header)


def test_files_are_let_in_up_to_a_number_of_bytes(
    driver: Driver, sent: Encoded, tmp_path: Path
) -> None:
    with driver.join(tmp_path, max_stored_bytes=20_000) as own:
        paths = [own.link.open(sent.header) for _ in range(2)]
        answer = own.link.create(sent.header)
        assert is_problem(answer, 507, "quota")
        assert int(answer.headers["retry-after"]) > 0
        own.link.put_part(paths[0], 0, sent.parts[0])
        own.link.put_side(paths[0], sent.side)
        own.link.complete(paths[0])
        taken = sum(f.stat().st_size for f in tmp_path.glob("transmissions/**/*") if f.is_file())
        assert taken < 10_000  # What it reserved was enough.
        own.link.delete(paths[1])
        own.link.open(sent.header)


class Busy(httpx.BaseTransport):
    """A receiver that lets the third call in."""

    def __init__(self, n: int) -> None:
        self.left = n

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        if self.left:
            self.left -= 1
            return httpx.Response(503, headers={"retry-after": "0"}, json={"detail": "busy"})
        return httpx.Response(201, text=json.dumps({"id": "0" * 32}))


def test_a_sender_that_is_told_to_come_back_does_so_more_often_than_it_tries() -> None:
    over = transport_over(Busy(7))  # It tries six times what fails without a word.
    assert over.create(b"{}", "key") == "0" * 32
    over.close()


def test_a_sender_loses_its_patience_in_the_end(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(retries, "PATIENCE_S", 0.5)
    over = transport_over(Busy(1000))
    with pytest.raises(LinkError, match="refused with 503: busy"):
        over.create(b"{}", "key")
    over.close()
