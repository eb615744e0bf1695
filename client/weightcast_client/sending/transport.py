"""HTTP calls of a sender: pieces of at most 1 MiB, digests, time-outs, patient retries."""

import hashlib
import json
import random
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, BinaryIO

import httpx
from pydantic import SecretStr

from weightcast.errors import LinkError
from weightcast.wire.digest import content_digest, digest_of
from weightcast_client.settings import Settings
from weightcast_web.running.command import BadUse

_FINISHED = ("done", "failed", "expired")
_PIECE = 1 << 20
_RETRIED = (408, 429, 500, 502, 503, 504)
LONGEST_WAIT_S = 5.0
PATIENCE_S = 600.0
"""How long one call puts up with being told to come back later."""


class Gone(LinkError):
    """The other end has no such transmission."""


class _TryAgain(Exception):
    """A failure that may pass; with ``after_s`` the other end is busy and says for how long."""

    def __init__(self, error: LinkError, after_s: float | None = None) -> None:
        self.error, self.after_s = error, after_s


class Transport:
    """Calls to one link or receiver; safe to use from several threads.

    Args:
        url: of the link or receiver.
        connect_timeout_s, answer_timeout_s: see `Settings`.
        tries: attempts at one call without progress.
        token: what it demands.
        http: how to reach it; None is the network.
        first_wait_s: longest wait after the first failure; it doubles up to `LONGEST_WAIT_S`.
    """

    def __init__(
        self,
        url: str,
        *,
        connect_timeout_s: float,
        answer_timeout_s: float,
        tries: int,
        token: SecretStr | None = None,
        http: httpx.BaseTransport | None = None,
        first_wait_s: float = 0.4,
    ) -> None:
        self.url = url
        self._tries, self._first_wait_s = tries, first_wait_s
        try:
            self._client = httpx.Client(
                base_url=url,
                headers={"authorization": f"Bearer {token.get_secret_value()}"} if token else {},
                transport=http,
                timeout=httpx.Timeout(answer_timeout_s, connect=connect_timeout_s),
                follow_redirects=False,
                trust_env=False,
            )
        except httpx.InvalidURL as error:
            raise BadUse(f"'{url}' is not a URL: {error}") from None
        self._is_over = threading.Event()
        self._progress = 0

    def give_up(self) -> None:
        """Let calls that have failed fail, instead of trying them again."""
        self._is_over.set()

    def close(self) -> None:
        """Close all connections."""
        self.give_up()
        self._client.close()

    def probe(self, name: str | None = None) -> None:
        """Raise `BadUse` unless a receiver answers, directly or behind a link. One try.

        Args:
            name: of what is probed, in the message; None is the URL.
        """
        name = name or self.url
        try:
            answer = self._client.get("/transmissions")
        except (httpx.TransportError, httpx.InvalidURL) as error:
            raise BadUse(f"no receiver at {name}: {error or type(error).__name__}") from None
        if not answer.is_success:
            raise BadUse(f"no receiver at {name}: {_refusal(answer)}")
        if "application/json" not in answer.headers.get("content-type", ""):
            raise BadUse(f"no receiver at {name}: something else answers there")

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

    def delete(self, id_: str) -> None:
        """Delete a transmission, unless it is gone already."""
        with suppress(Gone):
            self._call("DELETE", f"/transmissions/{id_}")

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
        tries, last = _Tries(self), ""
        while True:
            try:
                with self._stream(f"/transmissions/{id_}/events") as answer:
                    for line in answer.iter_lines():
                        if not line or line == last:
                            continue  # A stream begins with the state, which may be no news.
                        self._progress += 1
                        if line.startswith("data: "):
                            last = line
                            now = json.loads(line[6:])
                            yield now
                            if now["state"] in _FINISHED:
                                return
                    raise _TryAgain(LinkError(f"{self.url} broke off the events"))
            except _TryAgain as trouble:
                tries.failed(trouble)

    def save_model(self, id_: str, path: Path) -> None:
        """Write the received model to a file; what breaks off is gone on with where it did."""
        tries = _Tries(self)
        fields: dict[str, str] = {}
        farthest = 0
        with path.open("wb") as file:
            while True:
                try:
                    with self._stream(f"/transmissions/{id_}/model", fields) as answer:
                        if answer.status_code != httpx.codes.PARTIAL_CONTENT:
                            file.seek(0)
                            file.truncate()
                        for piece in answer.iter_bytes():
                            file.write(piece)
                            if file.tell() > farthest:
                                farthest = file.tell()
                                self._progress += 1
                            if "etag" in answer.headers:
                                fields = {"if-range": answer.headers["etag"]}
                                fields |= {"range": f"bytes={file.tell()}-"}
                    return
                except _TryAgain as trouble:
                    tries.failed(trouble)

    def _call(
        self,
        method: str,
        path: str,
        body: Callable[[], Any] = lambda: None,
        fields: dict[str, str] | None = None,
    ) -> httpx.Response:
        """Call until it succeeds, is refused for good, or `tries` attempts have failed."""
        tries = _Tries(self)
        while True:
            try:
                with self._attempt():
                    answer = self._client.request(method, path, content=body(), headers=fields)
                    self._expect(answer)
                    self._progress += 1
                    return answer
            except _TryAgain as trouble:
                tries.failed(trouble)

    @contextmanager
    def _stream(self, path: str, fields: dict[str, str] | None = None) -> Iterator[httpx.Response]:
        with self._attempt(), self._client.stream("GET", path, headers=fields) as answer:
            self._expect(answer)
            yield answer

    @contextmanager
    def _attempt(self) -> Iterator[None]:
        try:
            yield
        except httpx.TransportError as error:
            where = f"no answer from {self.url}"
            raise _TryAgain(LinkError(f"{where}: {error or type(error).__name__}")) from None

    def _expect(self, answer: httpx.Response) -> None:
        """Raise unless an answer is a success."""
        if not answer.is_success:
            answer.read()
            if answer.status_code in _RETRIED:
                raise _TryAgain(_refusal(answer), _told(answer))
            raise _refusal(answer)


class _Tries:
    """Counts the attempts at one call while the sender got no further with this or any other."""

    def __init__(self, transport: Transport) -> None:
        self._transport = transport
        self._failures, self._progress = 0.0, transport._progress

    def failed(self, trouble: _TryAgain) -> None:
        """Count one more failure and wait, or raise its error if it was one too many.

        The wait grows, and a random share of it keeps senders from marching in step. Waiting as
        told counts little: the tries are spent only when it has taken `PATIENCE_S`.
        """
        transport = self._transport
        if self._progress != transport._progress:
            self._failures, self._progress = 0.0, transport._progress
        if trouble.after_s is not None:
            wait_s = trouble.after_s * (1 + random.random())
            self._failures += transport._tries * wait_s / PATIENCE_S
        else:
            longest = min(transport._first_wait_s * 2**self._failures, LONGEST_WAIT_S)
            wait_s = longest * (0.5 + random.random() / 2)
            self._failures += 1
        if self._failures >= transport._tries or transport._is_over.wait(wait_s):
            raise trouble.error


def _told(answer: httpx.Response) -> float | None:
    """Return after how many seconds an answer invites to come back, if it does."""
    told = answer.headers.get("retry-after", "")
    return min(max(float(told), 0.1), LONGEST_WAIT_S) if told.isdecimal() else None


@contextmanager
def transport_to(url: str, settings: Settings, tries: int | None = None) -> Iterator[Transport]:
    """Yield a transport as the settings want it, and close it at the end.

    Args:
        url: of the link or receiver.
        settings: of the sender.
        tries: attempts at one call; None: as in the settings.
    """
    transport = Transport(
        url,
        connect_timeout_s=settings.connect_timeout_s,
        answer_timeout_s=settings.answer_timeout_s,
        tries=tries or settings.tries,
        token=settings.token,
    )
    try:
        yield transport
    finally:
        transport.close()


_KINDS: dict[int, type[LinkError]] = {404: Gone} | dict.fromkeys((401, 409, 413, 415, 422), BadUse)


def _refusal(answer: httpx.Response) -> LinkError:
    try:
        problem = answer.json()
        detail = str(problem["detail"])
    except (ValueError, KeyError, TypeError):
        detail = answer.reason_phrase
    return _KINDS.get(answer.status_code, LinkError)(f"refused with {answer.status_code}: {detail}")


def _pieces_of(raw: memoryview) -> Iterator[bytes]:
    for at in range(0, len(raw), _PIECE):
        yield bytes(raw[at : at + _PIECE])
