"""HTTP calls of a sender: pieces of at most 1 MiB, digests, time-outs, patient retries."""

import hashlib
import json
import random
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, BinaryIO

import httpx

from weightcast.errors import LinkError
from weightcast.wire.digest import content_digest, digest_of
from weightcast_web.command import BadUse

_PIECE = 1 << 20
_RETRIED = (408, 429, 500, 502, 503, 504)
_FIRST_WAIT_S, _LONGEST_WAIT_S = 0.2, 5.0


class Transport:
    """Calls to one link or receiver; safe to use from several threads.

    Args:
        url: of the link or receiver.
        connect_timeout_s, answer_timeout_s: see `Settings`.
        tries: attempts at one call.
        http: how to reach it; None is the network.
    """

    def __init__(
        self,
        url: str,
        *,
        connect_timeout_s: float,
        answer_timeout_s: float,
        tries: int,
        http: httpx.BaseTransport | None = None,
    ) -> None:
        self.url = url
        self._tries = tries
        try:
            self._client = httpx.Client(
                base_url=url,
                transport=http,
                timeout=httpx.Timeout(answer_timeout_s, connect=connect_timeout_s),
                follow_redirects=False,
                trust_env=False,
            )
        except httpx.InvalidURL as error:
            raise LinkError(f"'{url}' is not a URL: {error}") from None

    def close(self) -> None:
        """Close all connections."""
        self._client.close()

    def probe(self) -> None:
        """Raise `BadUse` unless a receiver answers, directly or behind a link. One try."""
        try:
            answer = self._client.get("/transmissions")
        except (httpx.TransportError, httpx.InvalidURL) as error:
            raise BadUse(f"no receiver at {self.url}: {error or type(error).__name__}") from None
        if not answer.is_success:
            raise BadUse(f"no receiver at {self.url}: {_refusal(answer)}")

    def create(self, header: bytes, key: str) -> str:
        """Open a transmission and return its id; the same key gives the same transmission."""
        answer = self._call(
            "POST",
            "/transmissions",
            lambda: header,
            {
                "content-type": "application/json",
                "content-digest": digest_of(header),
                "idempotency-key": key,
            },
        )
        return str(answer.json()["id"])

    def put_part(self, id_: str, n: int, raw: memoryview) -> None:
        """Send the symbols of one part."""
        self._call(
            "PUT",
            f"/transmissions/{id_}/parts/{n}",
            lambda: _pieces_of(raw),
            {"content-length": str(len(raw)), "content-digest": digest_of(raw)},
        )

    def put_side(self, id_: str, file: BinaryIO) -> None:
        """Send side information and carried tensors from a file."""

        def pieces() -> Iterator[bytes]:
            file.seek(0)
            while piece := file.read(_PIECE):
                yield piece

        sha256 = hashlib.sha256()
        for piece in pieces():
            sha256.update(piece)
        length = file.tell()

        fields = {"content-length": str(length), "content-digest": content_digest(sha256.digest())}
        self._call("PUT", f"/transmissions/{id_}/side", pieces, fields)

    def complete(self, id_: str) -> None:
        """Say that everything has been sent."""
        self._call("POST", f"/transmissions/{id_}/complete")

    def state(self, id_: str) -> dict[str, Any]:
        """Return the transmission as the receiver sees it."""
        found: dict[str, Any] = self._call("GET", f"/transmissions/{id_}").json()
        return found

    def arrived(self, id_: str) -> dict[str, Any]:
        """Return which parts have arrived."""
        found: dict[str, Any] = self._call("GET", f"/transmissions/{id_}/parts").json()
        return found

    def events(self, id_: str) -> Iterator[dict[str, Any]]:
        """Yield the transmission's state at each change until it is finished."""
        failures = 0
        while True:
            try:
                with self._client.stream("GET", f"/transmissions/{id_}/events") as answer:
                    if answer.status_code != 200:
                        answer.read()
                        raise _refusal(answer)
                    for line in answer.iter_lines():
                        if line.startswith("data: "):
                            failures = 0
                            now = json.loads(line[6:])
                            yield now
                            if now["state"] in ("done", "failed", "expired"):
                                return
            except httpx.TransportError as error:
                failures += 1
                if failures >= self._tries:
                    raise self._unreachable(error) from None
                _wait(failures)

    def save_model(self, id_: str, path: Path) -> None:
        """Write the received model to a file."""
        try:
            with self._client.stream("GET", f"/transmissions/{id_}/model") as answer:
                if answer.status_code != 200:
                    answer.read()
                    raise _refusal(answer)
                with path.open("wb") as file:
                    for piece in answer.iter_bytes(_PIECE):
                        file.write(piece)
        except httpx.TransportError as error:
            raise self._unreachable(error) from None

    def _call(
        self,
        method: str,
        path: str,
        body: Callable[[], Any] = lambda: None,
        fields: dict[str, str] | None = None,
    ) -> httpx.Response:
        """Call until it succeeds, is refused for good, or `tries` attempts have failed."""
        for attempt in range(1, self._tries + 1):
            try:
                answer = self._client.request(method, path, content=body(), headers=fields)
            except httpx.TransportError as error:
                if attempt == self._tries or isinstance(error, httpx.UnsupportedProtocol):
                    raise self._unreachable(error) from None
            else:
                if answer.is_success:
                    return answer
                if answer.status_code not in _RETRIED or attempt == self._tries:
                    raise _refusal(answer)
            _wait(attempt)
        raise AssertionError("unreachable")

    def _unreachable(self, error: httpx.TransportError) -> LinkError:
        return LinkError(f"no answer from {self.url}: {error or type(error).__name__}")


def _refusal(answer: httpx.Response) -> LinkError:
    try:
        problem = answer.json()
        detail = str(problem["detail"])
    except (ValueError, KeyError, TypeError):
        detail = answer.reason_phrase
    kind = BadUse if answer.status_code in (401, 409, 413, 415, 422) else LinkError
    return kind(f"refused with {answer.status_code}: {detail}")


def _wait(attempt: int) -> None:
    """Wait longer each time, by a random share of it so that senders do not march in step."""
    longest = min(_FIRST_WAIT_S * 2**attempt, _LONGEST_WAIT_S)
    time.sleep(longest * (0.5 + random.random() / 2))


def _pieces_of(raw: memoryview) -> Iterator[bytes]:
    for at in range(0, len(raw), _PIECE):
        yield bytes(raw[at : at + _PIECE])
