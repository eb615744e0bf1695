"""Calls: HTTP requests that are tried again while their failure may pass."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import httpx

from weightcast.errors import BadUse, Gone, LinkError
from weightcast_client.calling.retries import LONGEST_WAIT_S, Attempts, PassingFailure, Retries

_RETRIED = (408, 429, 500, 502, 503, 504)
TOO_SMALL = (
    "something before the link refuses bodies of 4 MiB, which parts have (nginx:"
    " client_max_body_size 0)"
)
_KINDS: dict[int, type[LinkError]] = {404: Gone} | dict.fromkeys((401, 409, 413, 415, 422), BadUse)


class Calls:
    """Calls to one link or receiver; safe to use from several threads.

    Args:
        url: of the link or receiver, for messages.
        client: that reaches it.
        retries: of all calls.
    """

    def __init__(self, url: str, client: httpx.Client, retries: Retries) -> None:
        self._url, self._client, self._retries = url, client, retries

    def call(
        self,
        method: str,
        path: str,
        body: Callable[[], Any] = lambda: None,
        fields: dict[str, str] | None = None,
    ) -> httpx.Response:
        """Call until it succeeds, is refused for good, or the attempts are spent.

        Args:
            method, path: of the request.
            body: returns its content, for each attempt anew.
            fields: of its head.
        """
        attempts = Attempts(self._retries)
        while True:
            try:
                with self._telling_failures():
                    answer = self._client.request(method, path, content=body(), headers=fields)
                    self._expect_success(answer)
                    self._retries.got_further()
                    return answer
            except PassingFailure as failure:
                attempts.failed(failure)

    @contextmanager
    def stream(self, path: str, fields: dict[str, str] | None = None) -> Iterator[httpx.Response]:
        """Yield an answer whose body is read as it comes; one attempt.

        Raises:
            PassingFailure: it failed, and may succeed another time.
            LinkError: it is refused for good.
        """
        with self._telling_failures(), self._client.stream("GET", path, headers=fields) as answer:
            self._expect_success(answer)
            yield answer

    def _expect_success(self, answer: httpx.Response) -> None:
        if not answer.is_success:
            answer.read()
            if answer.status_code in _RETRIED:
                is_away = answer.status_code == httpx.codes.BAD_GATEWAY
                after_s = _told(answer) or (self._retries.away_s if is_away else None)
                raise PassingFailure(refusal_of(answer), after_s)
            raise refusal_of(answer)

    @contextmanager
    def _telling_failures(self) -> Iterator[None]:
        try:
            yield
        except httpx.TransportError as error:
            failure = LinkError(f"no answer from {self._url}: {error or type(error).__name__}")
            is_away = isinstance(error, httpx.ConnectError)
            raise PassingFailure(failure, self._retries.away_s if is_away else None) from None


def refusal_of(answer: httpx.Response) -> LinkError:
    """Return the error that an answer stands for."""
    try:
        problem = answer.json()
        detail = str(problem["detail"])
    except (ValueError, KeyError, TypeError):
        is_size = answer.status_code == httpx.codes.REQUEST_ENTITY_TOO_LARGE
        detail = TOO_SMALL if is_size else answer.reason_phrase
    return _KINDS.get(answer.status_code, LinkError)(f"refused with {answer.status_code}: {detail}")


def _told(answer: httpx.Response) -> float | None:
    """Return after how many seconds an answer invites to come back, if it does."""
    told = answer.headers.get("retry-after", "")
    return min(max(float(told), 0.1), LONGEST_WAIT_S) if told.isdecimal() else None
