"""Fair shares of the event loop: many long transfers leave room for short calls between pieces."""

import asyncio
from weakref import WeakKeyDictionary

AT_ONCE = 2
"""Pieces that all transfers together may move in one round of the loop."""

_places: WeakKeyDictionary[asyncio.AbstractEventLoop, asyncio.Semaphore] = WeakKeyDictionary()


async def wait_for_fair_share() -> None:
    """Wait until one may move a piece; first come, first served.

    Without this, one round of the loop moves a piece of every transfer that has one, and whoever
    asks a short question waits for several such rounds.
    """
    loop = asyncio.get_running_loop()
    places = _places.setdefault(loop, asyncio.Semaphore(AT_ONCE))
    await places.acquire()
    loop.call_soon(places.release)
