"""The link adds the noise that was announced: nobody gets a second chance or another's noise."""

import json
import math
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from driver.calls import is_problem
from driver.models import Encoded, ModelOf, changed_setup, encoded
from driver.services import Driver
from faults.figures import Figure
from faults.hops import Chain

STD = 0.5


def noise_on(data: Path, path: str, sent: Encoded) -> npt.NDArray[np.float64]:
    """Return the noise that a receiver has on its part 0, in units of its std."""
    (file,) = (data / path[1:] / "parts").glob("0.*")
    arrived = np.frombuffer(file.read_bytes(), "<f4").astype(np.float64)
    noise: npt.NDArray[np.float64] = (arrived - np.frombuffer(sent.parts[0], "<f4")) / STD
    return noise


@pytest.mark.slow
def test_a_part_that_is_sent_again_through_another_process_meets_the_same_noise(
    hops: Chain, figure: Figure, model_of: ModelOf
) -> None:
    sent = encoded(model_of(100_000), seed=6, std=STD)
    with hops.caller() as client:
        path = client.open(sent.header)
        assert client.put_part(path, 0, sent.parts[0]).status_code == 204
    before = noise_on(hops.data, path, sent)
    hops.link.kill()
    hops.link.start()
    with hops.caller() as client:
        # Other noise would be other bytes, which the receiver refuses with 409.
        assert client.put_part(path, 0, sent.parts[0]).status_code == 204
    assert np.array_equal(before, noise_on(hops.data, path, sent))
    figure(39, f"{len(before)} symbols sent again through another process: 0 bits differ")


def test_transmissions_with_other_draws_or_seeds_share_no_noise(
    driver: Driver, figure: Figure, model_of: ModelOf, tmp_path: Path
) -> None:
    sent = encoded(model_of(1_000_000), seed=7, std=STD)
    found = []
    with driver.join(tmp_path) as own:
        for change in ({}, {"draw": 1}, {"seed": 8}):
            path = own.link.open(changed_setup(sent.header, **change))
            assert own.link.put_part(path, 0, sent.parts[0]).status_code == 204
            found.append(noise_on(tmp_path, path, sent))
    n = len(found[0])
    correlations = [float(np.mean(found[a] * found[b])) for a, b in ((0, 1), (0, 2), (1, 2))]
    assert max(map(abs, correlations)) <= 4 / math.sqrt(n)
    worst = max(map(abs, correlations)) * math.sqrt(n)
    figure(40, f"three transmissions, {n} symbols: correlation at most {worst:.1f}/sqrt(N)")


@pytest.mark.parametrize(
    "change", [{"seed": 9}, {"draw": 5}, {"channel": {"name": "awgn", "std": 0.1}}]
)
def test_channel_and_seed_are_fixed_at_create_and_shown_to_the_end(
    change: dict[str, Any], driver: Driver, small_path: Path, tmp_path: Path
) -> None:
    sent = encoded(small_path, seed=8, std=STD)
    changed = changed_setup(sent.header, **change).to_bytes()
    with driver.join(tmp_path) as own:
        call = "/transmissions", sent.header.to_bytes(), "POST"
        path = own.link.upload(*call, idempotency_key="k").headers["location"]
        assert own.link.put_part(path, 0, sent.parts[0]).status_code == 204
        answer = own.link.create(changed, idempotency_key="k")
        assert is_problem(answer, 409, "idempotency-key")
        for method in ("PUT", "POST", "PATCH"):
            for target in (path, f"{path}/header"):
                assert own.link.upload(target, changed, method).status_code in (404, 405)
        assert own.link.put_side(path, sent.side).status_code == 204
        own.link.complete(path)
        shown = own.link.end_of(path)["header"]
    assert shown == json.loads(sent.header.to_bytes())
    assert (shown["setup"]["seed"], shown["setup"]["draw"]) == (8, 0)
    assert shown["setup"]["channel"] == {"name": "awgn", "std": STD}
