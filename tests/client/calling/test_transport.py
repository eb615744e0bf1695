"""The sender's calls: what is tried again, what is not, and how it is told."""

import itertools
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import httpx
import pytest
from driver.calls import transport_over

from weightcast.errors import BadUse, LinkError
from weightcast_client.calling import retries
from weightcast_client.calling.transport import Transport

EVENTS = {"content-type": "text/event-stream"}
STATE = b'data: {"state": "queued"}\n\n'
DONE = b'data: {"state": "done"}\n\n'
Answer = httpx.Response | Exception


class Broken(httpx.SyncByteStream):
    """A body that breaks off."""

    def __init__(self, *pieces: bytes) -> None:
        self._pieces = pieces

    def __iter__(self) -> Iterator[bytes]:
        yield from self._pieces
        raise httpx.ReadError("cut")


class Scripted(httpx.BaseTransport):
    """Another end that gives the answers of a list, the last of them for ever."""

    def __init__(self, *answers: Callable[[], Answer]) -> None:
        self._answers = list(answers)
        self.calls: list[httpx.Request] = []

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        self.calls.append(request)
        next_one = self._answers.pop(0) if len(self._answers) > 1 else self._answers[0]
        answer = next_one()
        if isinstance(answer, Exception):
            raise answer
        return answer


def ok(body: bytes = b"{}") -> Callable[[], Answer]:
    return lambda: httpx.Response(200, headers=EVENTS, content=body)


def refused(status: int) -> Callable[[], Answer]:
    return lambda: httpx.Response(status, json={"detail": "because of the moon"})


def cut(*pieces: bytes) -> Callable[[], Answer]:
    return lambda: httpx.Response(200, headers=EVENTS, stream=Broken(*pieces))


def absent() -> Answer:
    return httpx.ConnectError("nobody there")


@pytest.fixture
def over() -> Callable[..., Transport]:
    return transport_over


@pytest.mark.parametrize("status", [408, 429, 500, 502, 503, 504])
def test_a_refusal_that_may_pass_is_tried_again(
    status: int, over: Callable[..., Transport]
) -> None:
    road = Scripted(refused(status), refused(status), ok())
    over(road).complete("0")
    assert len(road.calls) == 3


@pytest.mark.parametrize("status", [400, 401, 404, 409, 413, 415, 422, 507])
def test_a_refusal_for_good_is_not(status: int, over: Callable[..., Transport]) -> None:
    road = Scripted(refused(status))
    with pytest.raises(LinkError, match=f"refused with {status}: because of the moon"):
        over(road).complete("0")
    assert len(road.calls) == 1


def test_a_call_is_given_up_after_its_tries(over: Callable[..., Transport]) -> None:
    road = Scripted(absent)
    with pytest.raises(LinkError, match="no answer from http://test: nobody there"):
        over(road).put_part("0", 0, memoryview(b"12345678"))
    assert len(road.calls) == 6


def test_every_try_of_a_body_sends_all_of_it(
    over: Callable[..., Transport], tmp_path: Path
) -> None:
    class Reader(Scripted):
        def handle_request(self, request: httpx.Request) -> httpx.Response:
            bodies.append(request.read())
            return super().handle_request(request)

    bodies: list[bytes] = []
    side = tmp_path / "side"
    side.write_bytes(b"x" * 3_000_000)
    with side.open("rb") as file:
        over(Reader(absent, refused(503), ok())).put_side("0", file)
    assert bodies == [side.read_bytes()] * 3


def test_events_that_break_off_are_taken_up_again_without_repeating_news(
    over: Callable[..., Transport],
) -> None:
    road = Scripted(cut(STATE), ok(STATE), absent, refused(503), cut(), ok(STATE + DONE))
    states = [now["state"] for now in over(road).events("0")]
    assert states == ["queued", "done"]
    assert len(road.calls) == 6


def test_events_without_news_are_given_up(over: Callable[..., Transport]) -> None:
    road = Scripted(ok(STATE))
    with pytest.raises(LinkError, match="broke off the events"):
        list(over(road).events("0"))
    assert len(road.calls) == 6


def test_events_that_go_on_without_news_use_up_no_tries(over: Callable[..., Transport]) -> None:
    alive = [cut(STATE, b": still here\n\n")] * 10
    road = Scripted(*alive, ok(STATE + DONE))
    assert [now["state"] for now in over(road).events("0")] == ["queued", "done"]
    assert len(road.calls) == 11


def test_an_event_may_come_in_pieces_and_in_several_lines(over: Callable[..., Transport]) -> None:
    road = Scripted(cut(b'event: state\ndata: {"state":\ndata: "don', b'e"}\n\n'))
    assert [dict(now) for now in over(road).events("0")] == [{"state": "done"}]


def test_events_of_an_unknown_transmission_end_at_once(over: Callable[..., Transport]) -> None:
    with pytest.raises(LinkError, match="refused with 404"):
        list(over(Scripted(refused(404))).events("0"))


def test_a_model_that_breaks_off_is_fetched_again_from_its_start(
    over: Callable[..., Transport], tmp_path: Path
) -> None:
    over(Scripted(cut(b"12"), absent, ok(b"1234"))).save_model("0", tmp_path / "model")
    assert (tmp_path / "model").read_bytes() == b"1234"


class Resumable(httpx.BaseTransport):
    """A receiver that breaks off a model of 10 bytes after every second one of them."""

    def __init__(self, model: bytes, changes_at: int = -1) -> None:
        self._model, self._changes_at = model, changes_at
        self.calls = 0

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        self.calls += 1
        etag = '"new"' if self.calls > self._changes_at >= 0 else '"old"'
        start, status = 0, 200
        if request.headers.get("if-range") == etag:
            start, status = int(request.headers["range"].removeprefix("bytes=").rstrip("-")), 206
        model = self._model if etag == '"old"' else self._model[::-1]
        body = model[start : start + 2]
        stream = Broken(body) if start + 2 < len(model) else httpx.ByteStream(body)
        return httpx.Response(status, headers={"etag": etag}, stream=stream)


def test_a_model_that_breaks_off_again_and_again_is_gone_on_with_and_only_tries_in_vain_count(
    over: Callable[..., Transport], tmp_path: Path
) -> None:
    road = Resumable(bytes(range(20)))
    over(road).save_model("0", tmp_path / "model")
    assert (tmp_path / "model").read_bytes() == bytes(range(20))
    assert road.calls == 10


def test_a_model_that_breaks_off_at_the_same_place_for_ever_is_given_up(
    over: Callable[..., Transport], tmp_path: Path
) -> None:
    road = Scripted(cut(b"12"))
    with pytest.raises(LinkError, match="cut"):
        over(road).save_model("0", tmp_path / "model")
    assert len(road.calls) == 6


def test_a_model_that_has_changed_meanwhile_is_fetched_from_its_start(
    over: Callable[..., Transport], tmp_path: Path
) -> None:
    over(Resumable(bytes(range(10)), changes_at=3)).save_model("0", tmp_path / "model")
    assert (tmp_path / "model").read_bytes() == bytes(range(10))[::-1]


def test_tries_at_one_call_do_not_count_while_others_get_through(
    over: Callable[..., Transport],
) -> None:
    class Unlucky(httpx.BaseTransport):
        """Refuses the first part 20 times; a second one gets through between any two of them."""

        def __init__(self) -> None:
            self.failures = 0

        def handle_request(self, request: httpx.Request) -> httpx.Response:
            if request.url.path.endswith("/parts/0") and self.failures < 20:
                self.failures += 1
                transport.put_part("0", 1, memoryview(b"1234"))
                return httpx.Response(503)
            return httpx.Response(204)

    transport = over(Unlucky())
    transport.put_part("0", 0, memoryview(b"1234"))


def test_the_waits_between_tries_grow_and_differ_from_sender_to_sender() -> None:
    def waits() -> list[float]:
        times: list[float] = []

        class Absent(httpx.BaseTransport):
            def handle_request(self, request: httpx.Request) -> httpx.Response:
                times.append(time.monotonic())
                raise httpx.ConnectError("nobody there")

        transport = Transport(
            "http://test",
            connect_timeout_s=1,
            answer_timeout_s=1,
            tries=6,
            http=Absent(),
            first_wait_s=0.02,
        )
        with pytest.raises(LinkError):
            transport.complete("0")
        transport.close()
        return [after - before for before, after in itertools.pairwise(times)]

    found = [waits() for _ in range(2)]
    for times in found:
        for n, wait_s in enumerate(times):
            assert wait_s >= 0.5 * 0.02 * 2**n
    assert len({round(wait_s, 3) for times in found for wait_s in times}) > len(found[0])


def test_giving_up_ends_the_wait_for_the_next_try() -> None:
    transport = Transport(
        "http://test",
        connect_timeout_s=1,
        answer_timeout_s=1,
        tries=10,
        http=Scripted(absent),
        first_wait_s=60,
    )
    transport.give_up()
    began = time.monotonic()
    with pytest.raises(LinkError, match="nobody there"):
        transport.complete("0")
    assert time.monotonic() - began < 10
    transport.close()


@pytest.mark.parametrize("url", ["http://[::1", "localhost:1", "gopher://x", "http://"])
def test_what_is_not_a_url_is_bad_use(url: str, over: Callable[..., Transport]) -> None:
    with pytest.raises(BadUse):
        over(None, url).probe()


def test_a_probe_does_not_take_any_web_server_for_a_receiver(
    over: Callable[..., Transport],
) -> None:
    with pytest.raises(BadUse, match="something else answers there"):
        over(Scripted(lambda: httpx.Response(200, html="<p>hello"))).probe()


def plain(status: int) -> Callable[[], Answer]:
    """What a proxy says."""
    return lambda: httpx.Response(status, headers={"content-type": "text/html"}, content=b"<h1>")


@pytest.mark.parametrize("away", [refused(502), plain(502), absent])
def test_an_end_that_comes_back_is_waited_for_and_that_is_said_once(
    away: Callable[[], Answer], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(retries, "AWAY_S", 0.002)
    monkeypatch.setattr(retries, "SILENT_S", 0.01)
    monkeypatch.setattr(retries, "PATIENCE_S", 600.0)
    said: list[str] = []
    road = Scripted(*[away] * 20, ok())
    transport = Transport(
        "http://test",
        connect_timeout_s=5,
        answer_timeout_s=60,
        tries=6,
        http=road,
        waiting=said.append,
    )
    transport.complete("0")
    assert len(road.calls) == 21 and len(said) == 1
    assert "502" in said[0] or said[0] == "no answer from http://test: nobody there"


def test_bodies_that_a_proxy_finds_too_large_are_told_with_their_size(
    over: Callable[..., Transport],
) -> None:
    with pytest.raises(BadUse, match=r"refused with 413: something before the link .* of 4 MiB"):
        over(Scripted(plain(413))).put_part("0", 0, memoryview(b"12345678"))


@pytest.mark.parametrize(
    ("status", "detail"),
    [(401, "this call needs the token"), (502, "the receiver does not accept the link's token")],
)
def test_a_token_that_is_refused_names_the_variable(
    status: int, detail: str, over: Callable[..., Transport]
) -> None:
    road = Scripted(lambda: httpx.Response(status, json={"detail": detail}))
    says = rf"^http://here: refused with {status}: {detail}; set WEIGHTCAST_CLIENT_TOKEN to it$"
    with pytest.raises(BadUse, match=says):
        over(road).probe("http://here")
