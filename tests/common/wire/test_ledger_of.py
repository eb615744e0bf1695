"""What is charged is what is on the wire, to the bit."""

from pathlib import Path

import pytest
from driver.models import write_model

from weightcast.models.weights import open_model
from weightcast.pipeline import encode, plan_for
from weightcast.setup import Setup
from weightcast.wire.side import SideWriter
from weightcast.wire.transmission import announce, ledger_of


@pytest.mark.parametrize("decoder", ["inversion", "half-normal"])
@pytest.mark.parametrize("scheme", ["unprotected", "sign-protection", "adaptive-redundancy"])
def test_all_that_crosses_without_noise_is_charged(
    scheme: str, decoder: str, tmp_path: Path
) -> None:
    setup = Setup.of(scheme=scheme, decoder=decoder, channel={"name": "awgn", "std": 0.3})
    body = tmp_path / "side"
    with open_model(write_model(tmp_path / "m.safetensors", 5_000)) as model:
        plan = plan_for(model, setup, model.layout.weights)
        header = announce("m", model.layout, setup, plan)
        with SideWriter(setup.scheme.side_names) as side, body.open("wb") as file:
            n_symbols = 0
            for _, _, sent in encode(model, setup.scheme, plan):
                side.add(sent.side)
                n_symbols += len(sent.symbols)
            lengths = side.write(file, model, plan)
    n_bytes = body.stat().st_size
    ledger = ledger_of(header, lengths, n_bytes, setup.channel.capacity())
    charged = sum(ledger.side_bits.values()) + ledger.carried_bits + ledger.header_bits
    assert charged == 8 * (len(header.to_bytes()) + n_bytes)
    assert ledger.n_symbols == n_symbols
    assert ("plan" in ledger.side_bits) == (decoder == "half-normal")
