"""Symbols that are none, or that would buy signal-to-noise ratio: refused with their index."""

from pathlib import Path

import numpy as np
from driver.calls import is_problem
from driver.joined import Services
from driver.models import encoded
from hypothesis import given, settings
from hypothesis import strategies as st

from weightcast.wire.header import PART_SYMBOLS
from weightcast.wire.symbols import STAMP

WRONG = [np.nan, -np.nan, np.inf, -np.inf]
LOUD = st.floats(min_value=np.nextafter(np.float32(1), np.float32(2)), width=32)


@settings(max_examples=25)
@given(st.data())
def test_a_part_with_one_wrong_symbol_is_refused_with_its_index_by_both_hops(
    services: Services, model_path: Path, data: st.DataObject
) -> None:
    sent = encoded(model_path)
    n = data.draw(st.integers(0, len(sent.parts) - 1))
    symbols = np.frombuffer(sent.parts[n], "<f4").copy()
    at = data.draw(st.integers(0, len(symbols) - 1))
    wrong = data.draw(st.sampled_from(WRONG))
    loud = data.draw(LOUD) * data.draw(st.sampled_from([-1, 1]))
    path = services.link.open(sent.header)
    for value, hop, stamp in [
        (wrong, services.link, {}),
        (loud, services.link, {}),
        (wrong, services.receiver, {STAMP: "awgn"}),
    ]:
        symbols[at] = value
        answer = hop.put_part(path, n, symbols.tobytes(), **stamp)
        assert is_problem(answer, 422, "format-error")
        assert answer.json()["detail"].startswith(f"symbol {n * PART_SYMBOLS + at} is ")
    assert services.receiver.there(path)["parts"] == []
    services.receiver.delete(path)


def test_symbols_at_the_very_edge_are_taken(services: Services, small_path: Path) -> None:
    sent = encoded(small_path)
    path = services.link.open(sent.header)
    symbols = np.resize(np.array([1, -1, 0, -0.0, 1e-45], "<f4"), 1000)
    assert services.link.put_part(path, 0, symbols.tobytes()).status_code == 204


def test_the_strongest_noise_gives_finite_weights_and_a_report_as_it_is(
    services: Services, small_path: Path
) -> None:
    sent = encoded(small_path, "adaptive-redundancy", std=1e6)
    path = services.link.open(sent.header)
    assert services.link.put_part(path, 0, sent.parts[0]).status_code == 204
    assert services.link.put_side(path, sent.side).status_code == 204
    services.link.complete(path)
    assert services.link.end_of(path)["state"] == "done"
    model = services.link.get(f"{path}/model").content
    index = int.from_bytes(model[:8], "little")
    body = model[8 + index :]
    weights = np.frombuffer(body[: len(body) // 4 * 4], "<f4")
    assert np.isfinite(weights).all()
