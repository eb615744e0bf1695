"""Many long transfers on one event loop leave room for short calls."""

import asyncio
import hashlib
from collections import Counter
from collections.abc import Callable, Coroutine
from typing import Any

from starlette.requests import Request

from weightcast.wire.digest import digest_of
from weightcast_web.callers import Limits
from weightcast_web.http.bodies import read_body
from weightcast_web.http.fair_share import AT_ONCE, wait_for_fair_share

N_TRANSFERS, N_PIECES = 50, 20


async def moved_by_round(
    one: Callable[[int, Callable[[], None]], Coroutine[Any, Any, None]],
) -> list[int]:
    """Run many transfers; return how many pieces moved in each round of the loop."""
    rounds: Counter[int] = Counter()
    round_ = 0
    transfers = asyncio.gather(
        *(one(i, lambda: rounds.update([round_])) for i in range(N_TRANSFERS))
    )
    while not transfers.done():
        round_ += 1
        await asyncio.sleep(0)
    await transfers
    return list(rounds.values())


def test_few_pieces_move_in_one_round_and_everyone_gets_a_turn() -> None:
    order: list[int] = []

    async def one(i: int, note: Callable[[], None]) -> None:
        for _ in range(N_PIECES):
            await wait_for_fair_share()
            order.append(i)
            note()

    moved = asyncio.run(moved_by_round(one))
    assert max(moved) <= AT_ONCE
    assert sum(moved) == N_TRANSFERS * N_PIECES
    assert set(order[: N_TRANSFERS + AT_ONCE]) == set(range(N_TRANSFERS))


def test_bodies_that_are_all_there_are_read_in_turns() -> None:
    piece = bytes(1000)
    body = piece * N_PIECES
    fields = [(b"content-digest", digest_of(body).encode())]

    async def one(_i: int, note: Callable[[], None]) -> None:
        left = N_PIECES

        async def receive() -> dict[str, Any]:
            nonlocal left
            left -= 1
            note()
            return {"type": "http.request", "body": piece, "more_body": left > 0}

        request = Request({"type": "http", "method": "PUT", "headers": fields}, receive)
        got = await read_body(request, len(body), Limits())
        assert hashlib.sha256(got).digest() == hashlib.sha256(body).digest()

    moved = asyncio.run(moved_by_round(one))
    # Each transfer takes its first piece, in the first round, before it waits for a turn.
    assert max(moved) <= N_TRANSFERS + AT_ONCE
    assert sorted(moved)[-2] <= AT_ONCE


def test_a_transfer_that_is_given_up_takes_no_turn_with_it() -> None:
    async def run() -> None:
        waiting = [asyncio.create_task(wait_for_fair_share()) for _ in range(10)]
        await asyncio.sleep(0)
        for task in waiting[AT_ONCE:]:
            task.cancel()
        await asyncio.gather(*waiting, return_exceptions=True)
        async with asyncio.timeout(5):
            for _ in range(3 * AT_ONCE):
                await wait_for_fair_share()

    asyncio.run(run())
