"""Calls to a receiver, or to a link to one, as a sender makes them; and what is answered."""

from typing import Any

import httpx
from pydantic import SecretStr

from driver.models import Encoded
from weightcast.wire.digest import digest_of
from weightcast.wire.header import Header
from weightcast.wire.symbols import STAMP
from weightcast_client.calling.transport import Transport

AWGN = {STAMP: "awgn"}
"""What a part says that has been through this channel."""


class Caller(httpx.Client):
    """A client that knows the calls of a transmission; `path` is where the transmission is."""

    def upload(self, path: str, body: bytes, method: str = "PUT", **fields: str) -> httpx.Response:
        """Send a body with its digest and further fields, whose names have `_` for `-`."""
        named = {name.replace("_", "-"): value for name, value in fields.items()}
        headers = {"content-digest": digest_of(body)} | named
        return self.request(method, path, content=body, headers=headers)

    def create(self, header: Header | bytes, **fields: str) -> httpx.Response:
        """Announce a transmission."""
        text = header if isinstance(header, bytes) else header.to_bytes()
        return self.upload("/transmissions", text, "POST", **fields)

    def open(self, header: Header) -> str:
        """Announce a transmission, which is taken; return its path."""
        answer = self.create(header)
        assert answer.status_code == 201, answer.text
        return str(answer.headers["location"])

    def put_part(self, path: str, n: int, body: bytes, **fields: str) -> httpx.Response:
        """Send a part."""
        return self.upload(f"{path}/parts/{n}", body, **fields)

    def put_side(self, path: str, body: bytes) -> httpx.Response:
        """Send the side information."""
        return self.upload(f"{path}/side", body)

    def complete(self, path: str) -> httpx.Response:
        """Say that all has been sent."""
        return self.post(f"{path}/complete")

    def there(self, path: str) -> dict[str, Any]:
        """Return what has arrived: `parts` and whether `side`."""
        found: dict[str, Any] = self.get(f"{path}/parts").json()
        return found

    def deliver(self, sent: Encoded, **fields: str) -> str:
        """Send all of a transmission but the word that it is complete; return its path."""
        path = self.open(sent.header)
        for n, part in enumerate(sent.parts):
            assert self.put_part(path, n, part, **fields).status_code == 204
        assert self.put_side(path, sent.side).status_code == 204
        return path

    def deliver_all(self, sent: Encoded, **fields: str) -> str:
        """Send all of a transmission and say so; return its path."""
        path = self.deliver(sent, **fields)
        assert self.complete(path).status_code == 202
        return path

    def end_of(self, path: str) -> dict[str, Any]:
        """Wait for the end of a transmission and return it."""
        self.get(f"{path}/events", timeout=120)
        found: dict[str, Any] = self.get(path).json()
        return found

    def listed(self) -> list[dict[str, Any]]:
        """Return the transmissions there are, the newest first."""
        found: list[dict[str, Any]] = self.get("/transmissions").json()["transmissions"]
        return found


def is_problem(answer: httpx.Response, status: int, kind: str) -> bool:
    """Whether an answer is a problem of a status and kind that says nothing about our insides."""
    assert answer.status_code == status, answer.text
    assert answer.headers["content-type"] == "application/problem+json"
    assert answer.json()["type"] == f"urn:weightcast:{kind}"
    assert answer.json()["status"] == status
    assert answer.json()["detail"] and "\n" not in answer.json()["detail"]
    assert "Traceback" not in answer.text and ".py" not in answer.text
    return True


def transport_over(
    road: httpx.BaseTransport | None, url: str = "http://test", token: SecretStr | None = None
) -> Transport:
    """Return a sender's transport that does not wait long between tries."""
    return Transport(
        url,
        connect_timeout_s=5,
        answer_timeout_s=60,
        tries=6,
        token=token,
        http=road,
        first_wait_s=0.001,
    )
