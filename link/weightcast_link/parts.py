"""Parts: the symbols to which the link adds the noise."""

import asyncio
import re
from collections import OrderedDict
from collections.abc import AsyncIterator
from concurrent.futures import Executor

from fastapi import APIRouter, Depends, Request, Response

from weightcast.channels import Channel
from weightcast.errors import LinkError
from weightcast.noise.gaussian import Noise
from weightcast.wire.digest import digest_of
from weightcast.wire.header import parse_header, part_bytes
from weightcast.wire.symbols import STAMP
from weightcast_link.crossing import cross_into, read_part
from weightcast_link.passing import Answers
from weightcast_link.receiver import Receiver
from weightcast_link.settings import Settings
from weightcast_link.telemetry import Telemetry
from weightcast_web.http.bodies import spooled
from weightcast_web.http.fair_share import wait_for_fair_share
from weightcast_web.refusal import Refusal
from weightcast_web.telemetry.metrics import Flights

_PIECE = 1 << 18
_REMEMBERED = 100


class Channels:
    """Channels of the transmissions that parts came of lately.

    Args:
        receiver: that has the headers.
        max_header_bytes: cap on a header.
    """

    def __init__(self, receiver: Receiver, max_header_bytes: int) -> None:
        self._receiver, self._max_header_bytes = receiver, max_header_bytes
        self._known: OrderedDict[str, tuple[int, Channel, Noise]] = OrderedDict()

    async def of(self, transmission: str) -> tuple[int, Channel, Noise]:
        """Return number of symbols, channel and noise of a transmission; asks the first time."""
        known = self._known
        if transmission not in known:
            answer = await self._receiver.ask("GET", f"/transmissions/{transmission}/header")
            text = await self._receiver.body_of(answer)
            if answer.status_code == 404:
                raise Refusal(404, "no-transmission", "no such transmission")
            if answer.status_code == 503:
                raise Refusal(503, "store-busy", "the receiver is busy")
            if answer.status_code != 200:
                raise LinkError(f"the receiver gives no header, it answers {answer.status_code}")
            # One with many tensors takes seconds.
            header = await asyncio.to_thread(parse_header, text, self._max_header_bytes)
            known[transmission] = header.n_symbols, *header.channel_and_noise()
            while len(known) > _REMEMBERED:
                known.popitem(last=False)
        known.move_to_end(transmission)
        return known[transmission]


def router(
    receiver: Receiver,
    answers: Answers,
    telemetry: Telemetry,
    flights: Flights,
    threads: Executor,
    settings: Settings,
) -> APIRouter:
    """Return the route of parts.

    Args:
        receiver: that gets them.
        answers: its answers on their way to the sender.
        telemetry: told what becomes of them.
        flights: places in memory.
        threads: that add the noise.
        settings: limits.
    """
    routes = APIRouter()
    channels = Channels(receiver, settings.max_header_bytes)
    counted = [Depends(telemetry.watch_part)]

    @routes.put("/transmissions/{transmission}/parts/{n}", dependencies=counted)
    async def part(transmission: str, n: int, request: Request) -> Response:
        if STAMP in request.headers:
            raise Refusal(409, "noised-already", "this part has been through a channel already")
        if not re.fullmatch("[0-9a-f]{32}", transmission):
            raise Refusal(404, "no-transmission", "no such transmission")
        n_symbols, channel, noise = await channels.of(transmission)
        n_bytes = part_bytes(n_symbols, n)
        async with spooled(request, n_bytes, settings) as file, flights:

            def cross() -> tuple[memoryview, str]:
                raw = read_part(file, n, n_bytes)
                with telemetry.noise_s.time():
                    cross_into(raw, n, channel, noise)
                return raw, digest_of(raw)

            raw, digest = await asyncio.get_running_loop().run_in_executor(threads, cross)
            answer = await receiver.ask(
                "PUT",
                f"/transmissions/{transmission}/parts/{n}",
                content=_in_pieces(raw),
                headers={
                    "content-length": str(n_bytes),
                    "content-digest": digest,
                    "content-type": "application/octet-stream",
                    STAMP: channel.name,
                },
            )
            telemetry.part(n_bytes, is_taken=answer.is_success)
            return await answers.pass_on(answer)

    return routes


async def _in_pieces(raw: memoryview) -> AsyncIterator[bytes]:
    for at in range(0, len(raw), _PIECE):
        await wait_for_fair_share()
        yield bytes(raw[at : at + _PIECE])
