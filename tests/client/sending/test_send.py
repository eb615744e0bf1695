"""What arrives over HTTP is what the pipeline computes, bit for bit, whatever happens meanwhile."""

import itertools
import threading
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pytest
from driver.calls import transport_over
from driver.joined import Services
from driver.models import encoded
from driver.services import Driver
from safetensors.numpy import load_file

from weightcast.channels import CHANNELS
from weightcast.coding import SCHEMES
from weightcast.decoding import DECODERS
from weightcast.experiment.figures import DrawResult
from weightcast.models.weights import open_model
from weightcast.pipeline import transmit
from weightcast.setup import Setup
from weightcast_client.calling.transport import Transport
from weightcast_client.sending.planning import plan_send
from weightcast_client.sending.send import send

STD = 0.3
SEED = 11


class Unreliable(httpx.BaseTransport):
    """Breaks every call twice: once before it is delivered, once after, losing the answer."""

    def __init__(self, road: httpx.BaseTransport) -> None:
        self._road = road
        self._calls: Counter[tuple[str, str]] = Counter()
        self._lock = threading.Lock()

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        call = request.method, request.url.path
        with self._lock:
            self._calls[call] += 1
            time = self._calls[call]
        if request.url.path == "/transmissions" and request.method == "GET":
            return self._road.handle_request(request)
        if time == 1:
            raise httpx.ConnectError("refused", request=request)
        answer = self._road.handle_request(request)
        if time == 2:
            raise httpx.ReadError("cut", request=request)
        return answer


def setup_of(scheme: str, **more: Any) -> Setup:
    """Return a setup in which the noise is that of these tests."""
    return Setup.from_spec(
        {"scheme": scheme, "channel": {"name": "awgn", "std": STD}, "seed": SEED} | more
    )


def sent_with(setup: Setup, path: Path, transport: Transport) -> DrawResult:
    """Send a model and return the result."""
    with open_model(path) as model:
        return send(plan_send(model, setup), transport, 3)


def expected(path: Path, setup: Setup) -> bytes:
    """Return the weights that the pipeline receives, as bytes."""
    with open_model(path) as model:
        return transmit(model, setup, model.layout.weights).tobytes()


def received(transport: Transport, id_: str, path: Path) -> bytes:
    """Return the weights that a receiver has, as bytes."""
    transport.save_model(id_, path)
    with open_model(path) as model:
        return model[0 : len(model)].tobytes()


@pytest.mark.parametrize("scheme", SCHEMES)
def test_a_model_sent_over_http_equals_the_pipeline_bit_for_bit(
    scheme: str, transport: Transport, model_path: Path, tmp_path: Path
) -> None:
    setup = setup_of(scheme)
    result = sent_with(setup, model_path, transport)
    arrived = received(transport, result["transmission"], tmp_path / "received.safetensors")
    assert arrived == expected(model_path, setup)
    sent, kept = load_file(model_path), load_file(tmp_path / "received.safetensors")
    assert kept["layer.bias"].tobytes() == sent["layer.bias"].tobytes()
    assert kept["count"] == sent["count"]
    assert {name: t.shape for name, t in kept.items()} == {n: t.shape for n, t in sent.items()}


CHANNELS_THAT_NEED_ONLY_A_STD = sorted(CHANNELS.keys() - {"noiseless", "cascade"})


@pytest.mark.parametrize("channel", CHANNELS_THAT_NEED_ONLY_A_STD)
@pytest.mark.parametrize("decoder", DECODERS)
@pytest.mark.parametrize("scheme", ["unprotected", "adaptive-redundancy"])
def test_every_decoder_and_channel_over_http_equals_the_pipeline_bit_for_bit(
    scheme: str, decoder: str, channel: str, transport: Transport, model_path: Path, tmp_path: Path
) -> None:
    setup = setup_of(scheme, decoder=decoder, channel={"name": channel, "std": STD})
    result = sent_with(setup, model_path, transport)
    arrived = received(transport, result["transmission"], tmp_path / "received.safetensors")
    assert arrived == expected(model_path, setup)


def test_lost_calls_and_lost_answers_change_no_bit_and_open_no_second_transmission(
    services: Services, model_path: Path, tmp_path: Path
) -> None:
    before = len(services.receiver.listed())
    transport = transport_over(Unreliable(services.road))
    setup = setup_of("adaptive-redundancy")
    result = sent_with(setup, model_path, transport)
    arrived = received(transport, result["transmission"], tmp_path / "received.safetensors")
    assert arrived == expected(model_path, setup)
    after = services.receiver.listed()
    assert len(after) == before + 1
    transport.close()


def test_every_order_of_the_parts_gives_the_same_model(
    services: Services, transport: Transport, model_path: Path, tmp_path: Path
) -> None:
    sent = encoded(model_path, seed=SEED, std=STD)
    right = expected(model_path, setup_of("unprotected"))
    for order in itertools.permutations(range(len(sent.parts))):
        path = services.link.open(sent.header)
        for n in order:
            assert services.link.put_part(path, n, sent.parts[n]).status_code == 204
        assert services.link.put_side(path, sent.side).status_code == 204
        assert services.link.complete(path).status_code == 202
        assert services.link.end_of(path)["state"] == "done"
        id_ = path.rpartition("/")[2]
        assert received(transport, id_, tmp_path / "received.safetensors") == right
        assert services.link.delete(path).status_code == 204


def test_parts_sent_at_once_and_each_four_times_are_kept_once(
    services: Services, transport: Transport, model_path: Path, tmp_path: Path
) -> None:
    sent = encoded(model_path, seed=SEED, std=STD)
    path = services.link.open(sent.header)

    def put_part(n: int) -> int:
        return int(services.link.put_part(path, n, sent.parts[n]).status_code)

    with ThreadPoolExecutor(8) as pool:
        assert set(pool.map(put_part, [*range(len(sent.parts))] * 4)) == {204}
    services.link.put_side(path, sent.side)
    assert services.link.complete(path).status_code == 202
    assert services.link.end_of(path)["parts"] == {"received": 3, "total": 3}
    arrived = received(transport, path.rpartition("/")[2], tmp_path / "received.safetensors")
    assert arrived == expected(model_path, setup_of("unprotected"))


def test_draws_of_the_noise_differ_and_each_is_the_pipelines(
    transport: Transport, small_path: Path, tmp_path: Path
) -> None:
    setups = [setup_of("sign-protection", draw=draw) for draw in range(2)]
    with open_model(small_path) as model:
        planned = plan_send(model, setups[0])
        results = [send(planned.with_draw(draw), transport, 3) for draw in range(2)]
    arrived = [received(transport, r["transmission"], tmp_path / "m") for r in results]
    assert arrived == [expected(small_path, setup) for setup in setups]
    assert arrived[0] != arrived[1]


def test_the_result_tells_what_was_sent_and_the_error_that_arrived(
    transport: Transport, model_path: Path
) -> None:
    setup = setup_of("unprotected")
    result = sent_with(setup, model_path, transport)
    with open_model(model_path) as model:
        weights = model[0 : len(model)].astype(np.float64)
    error = np.frombuffer(expected(model_path, setup), np.float32) - weights
    assert result["weight_mse"] == pytest.approx(np.mean(error**2), rel=1e-12)
    middle, half = (weights.max() + weights.min()) / 2, (weights.max() - weights.min()) / 2
    power = np.mean(((weights - middle) / half) ** 2)
    assert result["average_power"] == pytest.approx(power, rel=1e-5)
    assert result["peak"] == 1
    assert result["n_symbols"] == result["n_weights"] == len(weights)
    assert result["side_bits"] == 0
    assert result["carried_bits"] == 8 * (4 * 17 + 8)
    assert result["accuracy"] is None


def test_a_transmission_that_fails_at_the_receiver_is_a_failed_send(
    driver: Driver, small_path: Path, tmp_path: Path
) -> None:
    class Corrupting(httpx.BaseTransport):
        def __init__(self, road: httpx.BaseTransport, data: Path) -> None:
            self._road, self._data = road, data

        def handle_request(self, request: httpx.Request) -> httpx.Response:
            if request.url.path.endswith("/complete"):
                for part in self._data.glob("transmissions/*/parts/*"):
                    part.write_bytes(part.read_bytes()[::-1])
            return self._road.handle_request(request)

    with driver.join(tmp_path) as own:
        transport = transport_over(Corrupting(own.road, own.data))
        with pytest.raises(OSError, match=r"gave up \(failed\): part 0 is corrupt on disk"):
            sent_with(setup_of("unprotected"), small_path, transport)
        transport.close()
