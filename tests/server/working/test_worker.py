"""The worker evaluates what it has decoded, and nothing else."""

from pathlib import Path

import numpy as np
import pytest
from driver.joined import Services
from driver.models import encoded
from safetensors.numpy import load_file, save_file

from weightcast.errors import FormatError
from weightcast.wire.transmission import check
from weightcast_server.working.worker import load


@pytest.mark.parametrize("how", ["as it was", "stale", "shuffled", "one bit"])
def test_only_weights_with_the_digest_of_what_was_decoded_are_evaluated(
    how: str, services: Services, small_path: Path, tmp_path: Path
) -> None:
    sent = encoded(small_path, channel="noiseless")
    path = services.receiver.deliver_all(sent)
    digest = services.receiver.end_of(path)["report"]["weights_digest"]
    file = tmp_path / "model.safetensors"
    file.write_bytes(services.receiver.get(f"{path}/model").content)
    tensors = load_file(file)
    weights = tensors["head.weight"]
    if how == "stale":
        weights[:] = 0
    elif how == "shuffled":
        np.random.Generator(np.random.Philox(1)).shuffle(weights)
    elif how == "one bit":
        weights.view(np.uint32)[3] ^= 1
    save_file(tensors, file)
    if how == "as it was":
        assert set(load(file, check(sent.header), digest)) == set(tensors)
    else:
        with pytest.raises(FormatError, match="is not the one that was decoded"):
            load(file, check(sent.header), digest)
