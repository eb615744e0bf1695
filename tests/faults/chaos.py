"""Everything that can happen to a chain of services, at random moments, from a seed."""

import random
import threading
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager

from faults.hops import Chain, Hop
from faults.proxy import Fault, Way


class Chaos:
    """Kills, stops and cuts hops and slows connections until it is told to end.

    Args:
        hops: what it happens to; all of it runs before and after.
        seed: of all chance. What meets what depends on the machine, too.
        pause_s: longest time between two events.
    """

    def __init__(self, hops: Chain, seed: int, pause_s: float) -> None:
        self._hops, self._pause_s = hops, pause_s
        self._chance = random.Random(seed)
        self._over = threading.Event()
        self.events: Counter[str] = Counter()
        for n, hop in enumerate((hops.link, hops.receiver)):
            hop.proxy.plan = self._connections(random.Random(seed + n + 1))

    def run(self) -> None:
        """Let things happen until `end`."""
        while not self._over.wait(self._chance.uniform(0, self._pause_s)):
            hop = self._chance.choice([self._hops.link, self._hops.receiver])
            event = self._chance.choice([self._kill, self._kill, self._stop, self._cut])
            event(hop, self._chance.uniform(0, 1))

    def end(self) -> None:
        """Let nothing more happen: all hops run, and connections are whole."""
        self._over.set()

    def _kill(self, hop: Hop, for_s: float) -> None:
        hop.kill()
        self._over.wait(for_s)
        hop.start()
        self.events["kills"] += 1

    def _stop(self, hop: Hop, for_s: float) -> None:
        hop.stop()
        self._over.wait(2 * for_s)
        hop.go_on()
        self.events["stops"] += 1

    def _cut(self, hop: Hop, for_s: float) -> None:
        hop.proxy.cut_all()
        self.events["cuts"] += 1

    def _connections(self, chance: random.Random) -> "Plan":
        return Plan(chance, self._over, self.events)


class Plan:
    """Gives one connection of four a random fault."""

    def __init__(
        self, chance: random.Random, is_over: threading.Event, events: Counter[str]
    ) -> None:
        self._chance, self._is_over, self._events = chance, is_over, events

    def __call__(self, n: int) -> Fault:
        """Return the fault of a connection."""
        kind = self._chance.choice(["cut", "cut", "slow", "sliced", *["none"] * 12])
        if self._is_over.is_set() or kind == "none":
            return Fault()
        way, other = self._way(kind), Way()
        self._events[f"connections {kind}"] += 1
        if self._chance.random() < 0.5:
            way, other = other, way
        return Fault(up=way, down=other, resets=self._chance.random() < 0.5)

    def _way(self, kind: str) -> Way:
        if kind == "cut":
            return Way(cut_at=int(10 ** self._chance.uniform(0, 6)))
        if kind == "slow":
            return Way(delay_s=0.05, jitter_s=0.1, bytes_per_s=2e6)
        return Way(slice_bytes=self._chance.randrange(100, 2000))


@contextmanager
def chaos_in(hops: Chain, seed: int, pause_s: float) -> Iterator[Chaos]:
    """Let things happen for as long as a block lasts."""
    chaos = Chaos(hops, seed, pause_s)
    thread = threading.Thread(target=chaos.run)
    thread.start()
    try:
        yield chaos
    finally:
        chaos.end()
        thread.join()
