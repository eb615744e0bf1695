"""A send under a key goes on where the one before it ended."""

import sqlite3
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import httpx
import pytest
from driver.calls import transport_over
from driver.joined import Services
from driver.services import Driver

from weightcast.channels.awgn import AWGN
from weightcast.coding.paper.sign_protection import SignProtection
from weightcast.coding.paper.unprotected import Unprotected
from weightcast.errors import LinkError
from weightcast.experiment.figures import DrawResult
from weightcast.models.weights import open_model
from weightcast.setup import Setup
from weightcast_client.sending.draws import send_draws
from weightcast_client.sending.planning import plan_send
from weightcast_client.sending.send import send
from weightcast_client.sending.watching import Watch
from weightcast_client.settings import Settings

CUTS = [("POST", ""), ("PUT", "parts/0"), ("PUT", "parts/1"), ("PUT", "parts/2"), ("PUT", "side"),
        ("POST", "complete"), ("GET", "model")]  # fmt: skip
"""Calls, in the order in which a sender makes them with one part on its way at a time."""


class Cut(httpx.BaseTransport):
    """Notes calls, and loses the answer of one of them and all calls after it."""

    def __init__(self, road: httpx.BaseTransport, at: tuple[str, str] | None = None) -> None:
        self._road, self._at = road, at
        self._is_cut = False
        self.calls: list[tuple[str, str]] = []

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        call = request.method, request.url.path.removeprefix("/transmissions")[34:]
        if self._is_cut:
            raise httpx.ConnectError("cut", request=request)
        answer = self._road.handle_request(request)
        self.calls.append(call)
        if call == self._at:
            self._is_cut = True
            raise httpx.ReadError("cut", request=request)
        return answer


TryToSend = Callable[[httpx.BaseTransport, str | None], dict[str, Any]]
SETUP = Setup(scheme=SignProtection(), channel=AWGN(std=0.3), seed=11)


@pytest.fixture
def try_to_send(model_path: Path) -> TryToSend:
    """A call that sends over a road under a key."""

    def call(road: httpx.BaseTransport, key: str | None) -> dict[str, Any]:
        transport = transport_over(road)
        try:
            with open_model(model_path) as model:
                sent = dict(send(plan_send(model, SETUP), transport, 1, key=key))
        finally:
            transport.close()
        del sent["seconds"]
        return sent

    return call


@pytest.mark.parametrize("cut", CUTS, ids=" ".join)
def test_what_has_arrived_before_a_cut_is_not_sent_again(
    cut: tuple[str, str], try_to_send: TryToSend, services: Services
) -> None:
    key = f"cut at {cut}"
    first, second = Cut(services.road, cut), Cut(services.road)
    with pytest.raises(LinkError, match="cut"):
        try_to_send(first, key)
    resumed = try_to_send(second, key)
    puts = [call for call in first.calls + second.calls if call[0] == "PUT"]
    assert sorted(puts) == [
        ("PUT", "parts/0"),
        ("PUT", "parts/1"),
        ("PUT", "parts/2"),
        ("PUT", "side"),
    ]
    whole = try_to_send(services.road, None)
    assert whole.pop("transmission") != resumed.pop("transmission")
    assert resumed == whole


def test_what_is_done_is_only_read(try_to_send: TryToSend, services: Services) -> None:
    first = try_to_send(services.road, "done")
    road = Cut(services.road)
    assert try_to_send(road, "done") == first
    assert not [call for call in road.calls if call[0] == "PUT"]


def test_a_transmission_that_has_expired_meanwhile_is_sent_anew(
    driver: Driver, try_to_send: TryToSend, tmp_path: Path
) -> None:
    with driver.join(tmp_path) as own:
        with pytest.raises(LinkError, match="cut"):
            try_to_send(Cut(own.road, ("PUT", "parts/1")), "old")
        with sqlite3.connect(tmp_path / "receiver.db") as database:
            database.execute("UPDATE transmissions SET state = 'expired'")
        database.close()
        sent = try_to_send(own.road, "old")
        found = own.receiver.listed()
        assert [(each["id"], each["state"]) for each in found] == [(sent["transmission"], "done")]


def test_draws_that_are_known_are_not_sent_again(services: Services, small_path: Path) -> None:
    road = Cut(services.road)
    transport = transport_over(road)
    kept: list[DrawResult] = []
    ids: list[str] = []
    setup = replace(SETUP, scheme=Unprotected())
    with open_model(small_path) as model:
        whole = (plan_send(model, setup), 3, transport, Settings())
        wanted = send_draws(*whole, Watch(arrived=kept.append, opened=ids.append))
        road.calls.clear()
        assert send_draws(*whole, done=kept) == wanted
        assert road.calls == []
    assert ids == wanted["transmissions"] == [result["transmission"] for result in kept]
    transport.close()
