"""Turns on the event loop: many long transfers leave room for short calls between their pieces."""

import asyncio
from weakref import WeakKeyDictionary

AT_ONCE = 2
"""Pieces that all transfers together may move in one round of the loop."""

_places: WeakKeyDictionary[asyncio.AbstractEventLoop, asyncio.Semaphore] = WeakKeyDictionary()


async def turn() -> None:
    """Wait until one may move a piece; first come, first served.

    Without this, one round of the loop moves a piece of every transfer that has one, and whoever
    asks a short question waits for several such rounds.
    """
    loop = asyncio.get_running_loop()
    places = _places.setdefault(loop, asyncio.Semaphore(AT_ONCE))
    await places.acquire()
    loop.call_soon(places.release)
