"""Parts of a transmission on their way, several at once."""

from collections import deque
from collections.abc import Callable, Iterable
from concurrent.futures import Future, ThreadPoolExecutor

import numpy as np

from weightcast.arrays import Symbols
from weightcast_client.calling.transport import Transport
from weightcast_client.sending.opening import Opened


class PartSender:
    """Sender of the parts of one transmission.

    Args:
        opened: the transmission; parts that have arrived already are not sent.
        transport: to the link.
        flights: parts on their way at once.
        report: is called with the number of parts that have arrived, after each.
    """

    def __init__(
        self, opened: Opened, transport: Transport, flights: int, report: Callable[[int], None]
    ) -> None:
        self._opened, self._transport, self._flights = opened, transport, flights
        self._report = report
        self._waiting: deque[Future[None]] = deque()
        self._n_arrived = 0

    def send(self, parts: Iterable[Symbols]) -> None:
        """Send parts as they come, and return when all have arrived."""
        pool = ThreadPoolExecutor(self._flights)
        try:
            for n, part in enumerate(parts):
                if n in self._opened.parts:
                    self._count_one()
                    continue
                raw = part.astype("<f4", copy=False).view(np.uint8).data
                put = self._transport.put_part
                self._waiting.append(pool.submit(put, self._opened.id, n, raw))
                if len(self._waiting) > self._flights:
                    self._await_one()
            while self._waiting:
                self._await_one()
        except BaseException:
            self._transport.give_up()
            raise
        finally:
            pool.shutdown(cancel_futures=True)

    def _await_one(self) -> None:
        self._waiting.popleft().result()
        self._count_one()

    def _count_one(self) -> None:
        self._n_arrived += 1
        self._report(self._n_arrived)
