"""The token: nothing without it but health, and it is told to nobody."""

import asyncio
import hmac
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest
from driver.calls import is_problem, transport_over
from driver.joined import Services
from driver.models import encoded
from driver.processes import children, command_of
from driver.services import Driver
from fastapi import FastAPI
from pydantic import SecretStr
from starlette.types import Message

from weightcast.errors import ParameterError
from weightcast_client.settings import Settings as ClientSettings
from weightcast_link import app as link
from weightcast_link.settings import Settings as LinkSettings
from weightcast_server import app as receiver
from weightcast_server.settings import Settings as ReceiverSettings
from weightcast_web.running.sockets import DEVELOPMENT_TOKEN, listen

OPEN = {"/health", "/health/live"}
TOKEN = "correct-horse-battery-staple-0123456789"
SHOWN = {"authorization": f"Bearer {TOKEN}"}


@pytest.fixture(scope="module")
def guarded(driver: Driver, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Services]:
    """A link and a receiver with a token."""
    with driver.join(tmp_path_factory.mktemp("receiver"), token=SecretStr(TOKEN)) as own:
        yield own


def routes_of(app: FastAPI) -> set[tuple[str, str]]:
    """Return (method, path) of all an app has, whether it says so or not."""
    said = {(m.upper(), path) for path, item in app.openapi()["paths"].items() for m in item}
    return said | {
        (m, vars(r)["path"]) for r in app.routes for m in getattr(r, "methods", None) or ()
    }


def all_routes(tmp_path: Path) -> dict[str, set[tuple[str, str]]]:
    return {
        "link": routes_of(link.create_app(LinkSettings())),
        "receiver": routes_of(receiver.create_app(ReceiverSettings(data=tmp_path))),
    }


REFUSED = {
    "none": {},
    "empty": {"authorization": ""},
    "no token": {"authorization": "Bearer"},
    "wrong": {"authorization": "Bearer wrong"},
    "almost": {"authorization": f"Bearer {TOKEN[:-1]}"},
    "longer": {"authorization": f"Bearer {TOKEN}x"},
    "other scheme": {"authorization": f"Basic {TOKEN}"},
    "elsewhere": {"x-token": TOKEN, "cookie": f"token={TOKEN}"},
    "not ASCII": {"authorization": "Bearer \xe9"},
}


@pytest.mark.filterwarnings("ignore:Duplicate Operation ID")
@pytest.mark.parametrize("how", REFUSED)
def test_every_route_but_health_is_refused_without_the_token(
    how: str, guarded: Services, tmp_path: Path
) -> None:
    for hop, routes in all_routes(tmp_path).items():
        assert {path for _, path in routes} >= {"/metrics", "/openapi.json", *OPEN}
        client = httpx.Client(transport=getattr(guarded, hop)._transport, base_url="http://test")
        for method, path in sorted(routes):
            headers = [(k.encode(), v.encode("latin-1")) for k, v in REFUSED[how].items()]
            answer = client.request(method, path.replace("{", "").replace("}", ""), headers=headers)
            if path in OPEN:
                assert answer.status_code in (200, 405), (hop, method, path)
            else:
                assert answer.headers["www-authenticate"] == "Bearer", (hop, method, path)
                assert is_problem(answer, 401, "unauthorised") if method != "HEAD" else True
                assert answer.status_code == 401
        for path in ("/nothing", "/healthy", "/health/", "/health/live/x"):
            assert client.get(path).status_code == 401, path
        assert client.get("/transmissions", params={"token": TOKEN}).status_code == 401


def test_with_the_token_a_model_goes_through_both_hops(guarded: Services, small_path: Path) -> None:
    sent = encoded(small_path)
    path = guarded.link.open(sent.header)
    assert guarded.link.put_part(path, 0, sent.parts[0]).status_code == 204
    assert guarded.link.put_side(path, sent.side).status_code == 204
    assert guarded.link.complete(path).status_code == 202
    assert guarded.link.end_of(path)["state"] == "done"


def test_a_sender_shows_its_token(guarded: Services) -> None:
    transport = transport_over(guarded.road, token=SecretStr(TOKEN))
    transport.probe()
    transport.close()


def test_a_sender_with_the_wrong_token_is_told_so_at_once(guarded: Services) -> None:
    transport = transport_over(guarded.road, token=SecretStr("wrong-but-secret"))
    with pytest.raises(OSError, match="401: this call needs the token") as refused:
        transport.create(b"{}", "key")
    assert "wrong-but-secret" not in str(refused.value) + repr(transport.__dict__)
    transport.close()


def test_a_call_is_refused_before_its_body_is_read(tmp_path: Path) -> None:
    answers = []

    async def send(message: Message) -> None:
        answers.append(message)

    async def receive() -> Message:
        raise AssertionError("the body was read")

    for app in (
        link.create_app(LinkSettings(token=SecretStr(TOKEN))),
        receiver.create_app(ReceiverSettings(data=tmp_path, token=SecretStr(TOKEN))),
    ):
        scope = {
            "type": "http",
            "method": "POST",
            "path": "/transmissions",
            "raw_path": b"/transmissions",
            "query_string": b"",
            "headers": [(b"content-length", b"1000000")],
        }
        asyncio.run(app(scope, receive, send))
        assert answers[0]["status"] == 401
        answers.clear()


def test_tokens_are_compared_in_constant_time(
    guarded: Services, monkeypatch: pytest.MonkeyPatch
) -> None:
    compared = []
    real = hmac.compare_digest

    def compare(a: bytes, b: bytes) -> bool:
        compared.append((a, b))
        return real(a, b)

    monkeypatch.setattr(hmac, "compare_digest", compare)
    headers = {"authorization": "Bearer wrong"}
    assert guarded.link.get("/transmissions", headers=headers).status_code == 401
    assert compared == [(b"wrong", TOKEN.encode())]


def asked_of_receiver(token: str | None, status: int) -> tuple[httpx.Response, httpx.Headers]:
    """Call a link with a token of the caller's; return the answer and what the receiver saw."""
    seen = []

    class Receiver(httpx.AsyncBaseTransport):
        async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
            seen.append(request.headers)
            return httpx.Response(status, json={})

    async def call() -> httpx.Response:
        settings = LinkSettings(
            receiver="http://receiver", token=SecretStr(token) if token else None
        )
        road = httpx.ASGITransport(link.create_app(settings, Receiver()))
        async with httpx.AsyncClient(transport=road, base_url="http://link") as client:
            headers = {"authorization": f"Bearer {token or 'of-the-caller'}"}
            return await client.get("/transmissions", headers=headers)

    return asyncio.run(call()), seen[0]


def test_a_link_shows_its_own_token_to_the_receiver_and_never_its_callers() -> None:
    assert "authorization" not in asked_of_receiver(None, 200)[1]
    assert asked_of_receiver(TOKEN, 200)[1]["authorization"] == f"Bearer {TOKEN}"


def test_a_receiver_that_refuses_the_links_token_is_a_bad_gateway() -> None:
    answer, _ = asked_of_receiver(TOKEN, 401)
    assert is_problem(answer, 502, "link-error")
    assert answer.json()["detail"] == "the receiver does not accept the link's token"


@pytest.mark.parametrize("host", ["127.0.0.1", "127.0.0.2", "::1", "localhost", "::ffff:127.0.0.1"])
def test_loopback_needs_no_token(host: str) -> None:
    listen(LinkSettings(host=host, port=0), None).close()


@pytest.mark.parametrize("host", ["0.0.0.0", "::", ""])
def test_listening_beyond_loopback_needs_a_token(host: str) -> None:
    with pytest.raises(ParameterError, match="needs a token: set WEIGHTCAST_LINK_TOKEN"):
        listen(LinkSettings(host=host, port=0), None)
    listen(LinkSettings(host=host, port=0, token=SecretStr("x")), None).close()


@pytest.mark.parametrize(
    ("token", "says"),
    [
        (None, "production needs a token: set WEIGHTCAST_SERVER_TOKEN"),
        (DEVELOPMENT_TOKEN, "production needs a token of its own"),
        ("x" * 31, "WEIGHTCAST_SERVER_TOKEN needs 32 characters in production"),
    ],
)
def test_production_wants_a_token_that_nobody_can_guess(token: str | None, says: str) -> None:
    settings = ReceiverSettings(port=0, production=True, token=SecretStr(token) if token else None)
    with pytest.raises(ParameterError, match=says) as refused:
        listen(settings, None)
    assert token is None or token not in str(refused.value)
    listen(ReceiverSettings(port=0, production=True, token=SecretStr("x" * 32)), None).close()


@pytest.mark.parametrize("token", ["", " ", "two words", "line\n", "é", "\0"])
def test_what_cannot_be_a_token_is_refused_without_being_repeated(token: str) -> None:
    with pytest.raises(ParameterError, match="must be one or more visible ASCII") as refused:
        listen(LinkSettings(port=0, token=SecretStr(token)), None)
    assert not token.strip() or token not in str(refused.value)


@pytest.mark.parametrize("module", ["weightcast_link.cli", "weightcast_server.cli"])
def test_a_command_that_may_not_listen_says_so_in_one_line(module: str, tmp_path: Path) -> None:
    words = ["run", f"--data={tmp_path}"] if "server" in module else []
    ran = subprocess.run(
        [sys.executable, "-m", module, *words, "--host=0.0.0.0", "--port=0"],
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert ran.returncode == 2
    assert ran.stderr.startswith("error: listening on 0.0.0.0 needs a token: set WEIGHTCAST_")
    assert ran.stderr.count("\n") == 1


@pytest.mark.slow
def test_the_token_is_in_no_log_no_help_no_command_line_and_no_text_of_the_settings(
    driver: Driver, tmp_path: Path
) -> None:
    names = [f"WEIGHTCAST_{part}_TOKEN" for part in ("LINK", "SERVER", "CLIENT")]
    env = os.environ | dict.fromkeys(names, TOKEN) | {"WEIGHTCAST_LINK_LOG_LEVEL": "debug"}
    with (tmp_path / "log").open("wb") as log, driver.receiver(tmp_path, env=env) as own:
        link_words = ["-m", "weightcast_link.cli", f"--receiver={own.url}", "--port=0"]
        linking = subprocess.Popen([sys.executable, *link_words], env=env, stderr=log)
        line = ""
        while "listening on" not in line:
            line = (tmp_path / "log").read_text()
        address = line.split()[-1]
        for headers in (SHOWN, {"authorization": f"Basic {TOKEN}"}, {}):
            for path in ("/transmissions", f"/transmissions?token={TOKEN}", "/metrics"):
                answer = httpx.get(f"{address}{path}", headers=headers)
                assert TOKEN not in answer.text + str(answer.headers)
        commands = [command_of(pid) for pid in children(own.process.pid)]
        linking.terminate()
        linking.wait(30)
        assert commands and TOKEN not in "".join(commands)
    logged = (tmp_path / "log").read_text()
    assert "unauthorised" in logged
    assert TOKEN not in logged
    for settings in (LinkSettings, ReceiverSettings, ClientSettings):
        chosen = settings(token=SecretStr(TOKEN))
        assert TOKEN not in f"{chosen!r}{chosen}{chosen.model_dump()}{chosen.model_dump_json()}"
    for words in (["weightcast_link.cli"], ["weightcast_server.cli", "run"]):
        command = [sys.executable, "-m", *words, "--help"]
        shown = subprocess.run(command, env=env, capture_output=True, text=True, check=True)
        assert TOKEN not in shown.stdout + shown.stderr
