"""Transport: what a sender asks of a link or receiver, in pieces of at most 1 MiB with digests."""

import hashlib
import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import BinaryIO

import httpx
from httpx_sse import EventSource
from pydantic import SecretStr

from weightcast.errors import BadUse, Gone, LinkError
from weightcast.wire.digest import content_digest, digest_of
from weightcast_client.calling.answers import ArrivedParts, State
from weightcast_client.calling.calls import Calls, refusal_of
from weightcast_client.calling.retries import Attempts, PassingFailure, Retries
from weightcast_client.settings import Settings
from weightcast_web.http.certificates import trusted

_FINISHED = ("done", "failed", "expired")
_PIECE = 1 << 20


class Transport:
    """Calls to one link or receiver; safe to use from several threads.

    Args:
        url: of the link or receiver.
        connect_timeout_s, answer_timeout_s: see `Settings`.
        tries: attempts at one call without progress.
        token: what it demands.
        http: how to reach it; None is the network.
        first_wait_s: longest wait after the first failure.
        waiting: for an other end that comes back when it is away, as an installation does: is told
            in a line what a call waits for; None: what is away is gone.

    Raises:
        BadUse: the URL is none.
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
        waiting: Callable[[str], None] | None = None,
    ) -> None:
        self.url = url
        try:
            self._client = httpx.Client(
                base_url=url,
                headers={"authorization": f"Bearer {token.get_secret_value()}"} if token else {},
                transport=http,
                timeout=httpx.Timeout(answer_timeout_s, connect=connect_timeout_s),
                follow_redirects=False,
                trust_env=False,
                verify=trusted() if url.startswith("https:") else True,
            )
        except httpx.InvalidURL as error:
            raise BadUse(f"'{url}' is not a URL: {error}") from None
        self._retries = Retries(tries, first_wait_s, waiting)
        self._calls = Calls(url, self._client, self._retries)

    def give_up(self) -> None:
        """Let calls that have failed fail, instead of trying them again."""
        self._retries.give_up()

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
            refusal = str(refusal_of(answer))
            if "token" in refusal:
                raise BadUse(f"{name}: {refusal}; set WEIGHTCAST_CLIENT_TOKEN to it")
            raise BadUse(f"no receiver at {name}: {refusal}")
        if "application/json" not in answer.headers.get("content-type", ""):
            raise BadUse(f"no receiver at {name}: something else answers there")

    def create(self, header: bytes, key: str) -> str:
        """Open a transmission and return its id; the same key gives the same transmission."""
        answer = self._calls.call(
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
        self._calls.call(
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
        self._calls.call("PUT", f"/transmissions/{id_}/side", pieces, fields)

    def complete(self, id_: str) -> None:
        """Say that everything has been sent."""
        self._calls.call("POST", f"/transmissions/{id_}/complete")

    def delete(self, id_: str) -> None:
        """Delete a transmission, unless it is gone already."""
        with suppress(Gone):
            self._calls.call("DELETE", f"/transmissions/{id_}")

    def state(self, id_: str) -> State:
        """Return the transmission as the receiver sees it."""
        found: State = self._calls.call("GET", f"/transmissions/{id_}").json()
        return found

    def arrived(self, id_: str) -> ArrivedParts:
        """Return which parts have arrived."""
        found: ArrivedParts = self._calls.call("GET", f"/transmissions/{id_}/parts").json()
        return found

    def events(self, id_: str) -> Iterator[State]:
        """Yield the transmission's state at each change until it is finished."""
        attempts, last = Attempts(self._retries), ""
        while True:
            try:
                for text in self._stream_of_events(f"/transmissions/{id_}/events", last):
                    last = text
                    now: State = json.loads(text)
                    yield now
                    if now["state"] in _FINISHED:
                        return
                raise PassingFailure(LinkError(f"{self.url} broke off the events"))
            except PassingFailure as failure:
                attempts.failed(failure)

    def _stream_of_events(self, path: str, last: str) -> Iterator[str]:
        """Yield the data of each event that is news; one attempt."""
        n_bytes = 0
        with self._calls.stream(path) as answer:
            try:
                for event in EventSource(answer).iter_sse():
                    if event.data not in ("", last):  # The first one may be no news.
                        self._retries.got_further()
                        yield event.data
                    last, n_bytes = event.data, n_bytes or answer.num_bytes_downloaded
            finally:
                if 0 < n_bytes < answer.num_bytes_downloaded:  # It went on: at least, it is alive.
                    self._retries.got_further()

    def save_model(self, id_: str, path: Path) -> None:
        """Write the received model to a file; what breaks off is gone on with where it did."""
        attempts = Attempts(self._retries)
        fields: dict[str, str] = {}
        farthest = 0
        with path.open("wb") as file:
            while True:
                try:
                    with self._calls.stream(f"/transmissions/{id_}/model", fields) as answer:
                        if answer.status_code != httpx.codes.PARTIAL_CONTENT:
                            file.seek(0)
                            file.truncate()
                        for piece in answer.iter_bytes():
                            file.write(piece)
                            if file.tell() > farthest:
                                farthest = file.tell()
                                self._retries.got_further()
                            if "etag" in answer.headers:
                                fields = {"if-range": answer.headers["etag"]}
                                fields |= {"range": f"bytes={file.tell()}-"}
                    return
                except PassingFailure as failure:
                    attempts.failed(failure)


@contextmanager
def transport_to(
    url: str,
    settings: Settings,
    tries: int | None = None,
    waiting: Callable[[str], None] | None = None,
) -> Iterator[Transport]:
    """Yield a transport as the settings want it, and close it at the end.

    Args:
        url: of the link or receiver.
        settings: of the sender.
        tries: attempts at one call; None: as in the settings.
        waiting: as for `Transport`.
    """
    transport = Transport(
        url,
        connect_timeout_s=settings.connect_timeout_s,
        answer_timeout_s=settings.answer_timeout_s,
        tries=tries or settings.tries,
        token=settings.token,
        waiting=waiting,
    )
    try:
        yield transport
    finally:
        transport.close()


def _pieces_of(raw: memoryview) -> Iterator[bytes]:
    for at in range(0, len(raw), _PIECE):
        yield bytes(raw[at : at + _PIECE])
