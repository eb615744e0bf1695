"""Metrics: they count what happened, and nobody can make them grow."""

import re
from pathlib import Path

import httpx
import pytest
from driver.joined import Services
from driver.models import encoded
from driver.services import Driver
from prometheus_client import Metric
from prometheus_client.parser import text_string_to_metric_families

from weightcast.wire.symbols import STAMP

DOCUMENT = Path(__file__).parents[3] / "docs/metrics.md"


def scrape(client: httpx.Client) -> dict[str, Metric]:
    """Return the metrics of a service by name."""
    answer = client.get("/metrics")
    assert answer.status_code == 200
    assert answer.headers["content-type"].startswith("text/plain; version=")
    return {family.name: family for family in text_string_to_metric_families(answer.text)}


def value_of(families: dict[str, Metric], name: str, **labels: str) -> float:
    """Return the only sample of a name with these labels."""
    family = families.get(re.sub("_(total|count|sum)$", "", name)) or families[name]
    (sample,) = [s for s in family.samples if s.name == name and labels.items() <= s.labels.items()]
    return float(sample.value)


def test_a_known_transmission_is_counted(
    driver: Driver, model_path: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("weightcast_web.telemetry.health.FRESH_S", -1)
    monkeypatch.setattr("weightcast_web.telemetry.health.PATIENCE_S", 10)
    sent = encoded(model_path)
    n_bytes = sum(len(part) for part in sent.parts)
    with driver.join(tmp_path) as own:
        path = own.link.open(sent.header)
        for n, part in enumerate(sent.parts):
            assert own.link.put_part(path, n, part).status_code == 204
        assert own.link.put_part(path, 0, sent.parts[0]).status_code == 204
        assert own.link.put_part(path, 0, sent.parts[0][:-4]).status_code == 422
        other = bytes(len(sent.parts[0]))
        assert own.link.put_part(path, 0, other).status_code == 409
        answer = own.receiver.put_part(path, 0, other, **{STAMP: "awgn"})
        assert answer.status_code == 409
        waiting = scrape(own.receiver)
        assert own.link.put_side(path, sent.side).status_code == 204
        own.link.complete(path)
        own.link.end_of(path)
        link, receiver = scrape(own.link), scrape(own.receiver)
    assert value_of(waiting, "weightcast_receiver_transmissions", state="receiving") == 1
    assert value_of(waiting, "weightcast_receiver_transmissions", state="done") == 0

    assert value_of(link, "weightcast_link_parts_total", outcome="passed") == 3 + 1
    assert value_of(link, "weightcast_link_parts_total", outcome="refused") == 2
    passed = n_bytes + len(sent.parts[0])
    assert value_of(link, "weightcast_link_bytes_total") == passed
    assert value_of(link, "weightcast_link_symbols_total") == passed // 4
    assert value_of(link, "weightcast_link_noise_seconds_count") == 3 + 2
    assert value_of(link, "weightcast_link_receiver_errors_total", kind="unreachable") == 0
    assert value_of(link, "weightcast_ready") == 1

    assert value_of(receiver, "weightcast_receiver_parts_total", outcome="stored") == 3
    assert value_of(receiver, "weightcast_receiver_parts_total", outcome="repeated") == 1
    assert value_of(receiver, "weightcast_receiver_parts_total", outcome="refused") == 2
    assert value_of(receiver, "weightcast_receiver_bytes_total") == n_bytes + len(sent.side)
    assert value_of(receiver, "weightcast_receiver_symbols_total") == sent.header.n_symbols
    assert value_of(receiver, "weightcast_receiver_transmissions", state="done") == 1
    assert value_of(receiver, "weightcast_receiver_transmissions", state="receiving") == 0
    assert value_of(receiver, "weightcast_receiver_queue_length") == 0
    assert value_of(receiver, "weightcast_receiver_queue_oldest_seconds") == 0
    assert value_of(receiver, "weightcast_receiver_decode_seconds_count") == 1
    assert value_of(receiver, "weightcast_receiver_evaluate_seconds_count") == 0
    assert value_of(receiver, "weightcast_receiver_worker_restarts_total") == 0
    assert value_of(receiver, "weightcast_receiver_disk_free_bytes") > 1 << 20
    for families in (link, receiver):
        assert value_of(families, "weightcast_flights") == 0
        assert value_of(families, "process_open_fds") > 0
    route = {"method": "PUT", "path": "/transmissions/{id_}/parts/{n}", "status": "204"}
    assert value_of(receiver, "weightcast_http_seconds_count", **route) == 4


def test_no_caller_can_add_a_label(driver: Driver, tmp_path: Path) -> None:
    def series(client: httpx.Client) -> set[tuple[str, ...]]:
        samples = [s for family in scrape(client).values() for s in family.samples]
        return {(s.name, *s.labels.values()) for s in samples}

    with driver.join(tmp_path) as own:

        def strange(word: str) -> None:
            for client in (own.link, own.receiver):
                for path in (f"/{word}", f"/transmissions/{word}", f"/transmissions/{word}/side/"):
                    client.get(path)
                    client.request(word, path)

        for client in (own.link, own.receiver):
            scrape(client)
        strange("FIRST")
        before = series(own.link), series(own.receiver)
        strange("SECOND")
        assert (series(own.link), series(own.receiver)) == before
        assert "FIRST" not in str(before)


def test_the_table_of_metrics_is_complete(services: Services) -> None:
    described = re.findall(
        r"^\| `(\w+)` \| (gauge|counter|histogram) \| (\w+) \|", DOCUMENT.read_text(), flags=re.M
    )
    found = []
    for who in ("link", "receiver"):
        for family in scrape(getattr(services, who)).values():
            name = f"{family.name}_total" if family.type == "counter" else family.name
            found.append((name, family.type, who))
    names = [name for name, _, _ in found]
    rows = {(name, kind, "both" if names.count(name) == 2 else who) for name, kind, who in found}
    assert set(described) == rows
    assert len(described) == len(rows)
