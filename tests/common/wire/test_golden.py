"""The exact bytes of one small transmission; `docs/wire-format.md` describes them."""

import io
from pathlib import Path

import numpy as np
import pytest
import zstandard
from safetensors.numpy import save_file

from weightcast.channels.awgn import AWGN
from weightcast.coding.paper.adaptive_redundancy import AdaptiveRedundancy
from weightcast.models.weights import open_model
from weightcast.pipeline import encode, plan_for
from weightcast.setup import Setup
from weightcast.wire.side import SideWriter
from weightcast.wire.symbols import cut_into_parts
from weightcast.wire.transmission import announce

HEADER = (
    '{"version":2,"model":"golden","weights":[["w","F32",[2,4]]],"carried":[["b","F32",[1]]],'
    '"setup":{"scheme":{"name":"adaptive-redundancy","n_large":2,'
    '"large_fraction":0.0006268164959327689,"r_small":1,"r_large":3},"decoder":{"name":"inversion"},'
    '"channel":{"name":"awgn","std":0.5},"seed":1,"draw":2,"task":null,"split":"test",'
    '"n_samples":null},"plan":{"n_weights":8,"n_large":2,"low":0.0,"threshold":1.0,'
    '"high":2.0,"last_tie":7},"n_weights":8,"n_symbols":12}'
)
INDEX = (
    '{"signs":{"dtype":"U8","shape":[1],"data_offsets":[0,1]},'
    '"classes":{"dtype":"U8","shape":[10],"data_offsets":[1,11]},'
    '"carried/b":{"dtype":"F32","shape":[1],"data_offsets":[11,15]}}'
)
RECEIVED = (
    "7d729bbf 7ef1db3e 7dd44f3f bc6a97be 8718a03f 7fd22d3f"
    " 14e7e13f 604c463f a673a2be 945b15bf 9087bdbf cfd37bbf"
)


@pytest.fixture
def model_file(tmp_path: Path) -> Path:
    path = tmp_path / "golden.safetensors"
    weights = np.array([[0, 0.75, -0.5, 0.25], [2, -0.75, 0.5, -1]], np.float32)
    save_file({"w": weights, "b": np.array([1.5], np.float32)}, path)
    return path


def test_the_bytes_of_a_small_transmission_never_change(model_file: Path) -> None:
    scheme, channel = AdaptiveRedundancy(n_large=2, r_large=3), AWGN(std=0.5)
    setup = Setup(scheme=scheme, channel=channel, seed=1, draw=2)
    with open_model(model_file) as model, SideWriter(scheme.side_names) as side:
        plan = plan_for(model, setup, model.layout.weights)
        header = announce("golden", model.layout, setup, plan)
        blocks = []
        for _, _, sent in encode(model, scheme, plan):
            side.add(sent.side)
            blocks.append(sent.symbols)
        file = io.BytesIO()
        side.write(file, model, plan)
    (part,) = cut_into_parts(blocks)
    received = channel.transmit(part, 0, setup.noise)

    assert header.to_bytes().decode() == HEADER
    # |w| 0 .. 1 goes to -1 .. 1; the large class 1 .. 2 to -1 .. 1, three times each.
    assert part.tolist() == [-1, 0.5, 0, -0.5, 1, 1, 1, 0.5, 0, -1, -1, -1]
    assert received.astype("<f4").tobytes().hex(" ", 4) == RECEIVED
    raw = file.getvalue()
    assert int.from_bytes(raw[:8], "little") % 8 == 0
    assert raw[8:-15].decode().rstrip() == INDEX
    # Signs of weights 2, 5 and 7; weights 4 and 7 are large; the carried 1.5.
    assert raw[-15:-14] == bytes([0b10100100])
    inflate = zstandard.ZstdDecompressor().decompressobj()
    assert inflate.decompress(raw[-14:-4]) == bytes([0b10010000])
    assert raw[-4:] == bytes.fromhex("0000c03f")
