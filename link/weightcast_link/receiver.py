"""The receiver, as the link asks it."""

from typing import Any

import httpx

from weightcast.errors import LinkError
from weightcast_link.settings import Settings
from weightcast_link.telemetry import Telemetry
from weightcast_web.http.certificates import trusted
from weightcast_web.refusal import Refusal

HEALTH_TIMEOUT_S = 3.0
"""How long the receiver may take to say that it is ready."""


class Receiver:
    """Receiver that everything is passed on to.

    Args:
        settings: where it is, and how long it may take.
        telemetry: told of what is wrong with it.
        transport: how to reach it; None is the network.
    """

    def __init__(
        self, settings: Settings, telemetry: Telemetry, transport: httpx.AsyncBaseTransport | None
    ) -> None:
        self._telemetry = telemetry
        token = settings.token
        self._client = httpx.AsyncClient(
            base_url=settings.receiver,
            headers={"authorization": f"Bearer {token.get_secret_value()}"} if token else {},
            transport=transport,
            timeout=httpx.Timeout(settings.answer_timeout_s, connect=settings.connect_timeout_s),
            limits=httpx.Limits(max_connections=256, max_keepalive_connections=16),
            follow_redirects=False,
            trust_env=False,
            verify=trusted() if settings.receiver.startswith("https:") else True,
        )

    async def close(self) -> None:
        """Close all connections."""
        await self._client.aclose()

    async def ask(self, method: str, target: str, **more: Any) -> httpx.Response:
        """Return the answer to a request, whose body is still to be read.

        Args:
            method, target: of the request.
            more: as for `httpx.Client.build_request`.

        Raises:
            Refusal: 404 the target is none; 504 the receiver is silent.
            LinkError: the receiver cannot be reached, or does not accept the token.
        """
        try:
            request = self._client.build_request(method, target, **more)
        except httpx.InvalidURL:
            raise Refusal(404, "not-found", "no such resource") from None
        try:
            answer = await self._client.send(request, stream=True)
        except httpx.TimeoutException:
            self._telemetry.trouble("silent")
            raise Refusal(504, "receiver-silent", "the receiver does not answer in time") from None
        except (httpx.TransportError, AttributeError) as error:
            # A connection that is reset as soon as it is open has no socket when anyio (4.16) asks
            # for its peer, and that error comes through httpx as it is.
            if isinstance(error, AttributeError) and error.name != "getpeername":
                raise
            self._telemetry.trouble("unreachable")
            raise LinkError("the receiver cannot be reached") from None
        if answer.status_code == 401:
            self._telemetry.trouble("token-refused")
            await answer.aclose()
            raise LinkError("the receiver does not accept the link's token")
        return answer

    async def body_of(self, answer: httpx.Response) -> bytes:
        """Return the whole body of an answer."""
        try:
            return await answer.aread()
        except httpx.TransportError:
            self._telemetry.trouble("broken-off")
            raise LinkError("the receiver broke off") from None

    async def check_ready(self) -> None:
        """Raise unless it says soon that it is ready."""
        answer = await self.ask("GET", "/health", timeout=HEALTH_TIMEOUT_S)
        await answer.aclose()
        if answer.status_code != 200:
            raise Refusal(503, "receiver-not-ready", "the receiver is not ready")
