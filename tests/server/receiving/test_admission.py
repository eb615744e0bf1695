"""What a receiver lets in: so many transmissions, so many bytes; the rest may come back."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from weightcast.errors import LinkError
from weightcast_client.sending import transport


@pytest.fixture
def sent(encoded: Any, small_path: Path) -> Any:
    """A small transmission over a clean channel."""
    return encoded(small_path, channel="noiseless")


@pytest.fixture
def two(joined: Any, tmp_path: Path) -> Iterator[Any]:
    """Services that let two transmissions in."""
    with joined(tmp_path, max_open=2) as own:
        yield own


def test_beyond_the_limit_callers_are_told_to_come_back(
    two: Any, sent: Any, opened: Any, put: Any, is_problem: Any
) -> None:
    for _ in range(2):
        opened(two.link, sent.header)
    answer = put(two.link, "/transmissions", sent.header.to_bytes(), "POST")
    assert is_problem(answer, 503, "too-many")
    assert int(answer.headers["retry-after"]) > 0
    assert len(two.receiver.get("/transmissions").json()["transmissions"]) == 2
    assert len(list((two.data / "transmissions").iterdir())) == 2


def test_a_key_that_is_known_is_let_in_even_then(two: Any, sent: Any, put: Any) -> None:
    text = sent.header.to_bytes()
    first, _, again = (
        put(two.link, "/transmissions", text, "POST", idempotency_key=key) for key in "aba"
    )
    assert again.status_code == 201
    assert again.json()["id"] == first.json()["id"]


@pytest.mark.parametrize("end", ["finished", "deleted"])
def test_what_is_over_makes_room(
    end: str, two: Any, sent: Any, opened: Any, put: Any, finished: Any
) -> None:
    path, _ = (opened(two.link, sent.header) for _ in range(2))
    if end == "deleted":
        assert two.link.delete(path).status_code == 204
    else:
        put(two.link, f"{path}/parts/0", sent.parts[0])
        put(two.link, f"{path}/side", sent.side)
        two.link.post(f"{path}/complete")
        assert finished(two.link, path)["state"] == "done"
    opened(two.link, sent.header)


def test_files_are_let_in_up_to_a_number_of_bytes(
    joined: Any, sent: Any, opened: Any, put: Any, is_problem: Any, tmp_path: Path
) -> None:
    with joined(tmp_path, max_stored_bytes=20_000) as own:
        paths = [opened(own.link, sent.header) for _ in range(2)]
        answer = put(own.link, "/transmissions", sent.header.to_bytes(), "POST")
        assert is_problem(answer, 507, "quota")
        assert int(answer.headers["retry-after"]) > 0
        put(own.link, f"{paths[0]}/parts/0", sent.parts[0])
        put(own.link, f"{paths[0]}/side", sent.side)
        own.link.post(f"{paths[0]}/complete")
        taken = sum(f.stat().st_size for f in tmp_path.glob("transmissions/**/*") if f.is_file())
        assert taken < 10_000  # What it reserved was enough.
        own.link.delete(paths[1])
        opened(own.link, sent.header)


class Busy(httpx.BaseTransport):
    """A receiver that lets the third call in."""

    def __init__(self, n: int) -> None:
        self.left = n

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        if self.left:
            self.left -= 1
            return httpx.Response(503, headers={"retry-after": "0"}, json={"detail": "busy"})
        return httpx.Response(201, text=json.dumps({"id": "0" * 32}))


def test_a_sender_that_is_told_to_come_back_does_so_more_often_than_it_tries(
    transport_over: Any,
) -> None:
    over = transport_over(Busy(7))  # It tries six times what fails without a word.
    assert over.create(b"{}", "key") == "0" * 32
    over.close()


def test_a_sender_loses_its_patience_in_the_end(
    transport_over: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(transport, "PATIENCE_S", 0.5)
    over = transport_over(Busy(1000))
    with pytest.raises(LinkError, match="refused with 503: busy"):
        over.create(b"{}", "key")
    over.close()
