"""A plan with arrays: what its side information must be, by a scheme that is added here."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import numpy.typing as npt
import pytest
from driver.calls import is_problem
from driver.joined import Services
from driver.models import Encoded, encoded

from weightcast.arrays import Bits, Weights, WeightSource
from weightcast.channels.base import Channel
from weightcast.coding import SCHEMES, Sent, tensor_pieces
from weightcast.coding.base import Arrived
from weightcast.decoding.base import Decoder
from weightcast.errors import ParameterError
from weightcast.models.tensors import Tensor

Array = npt.NDArray[Any]
ARRAY = {"scales": ["F32", [2]]}
"""How the header of the small model, which has two tensors, writes the plan's array."""


@dataclass(frozen=True, kw_only=True)
class Scales:
    """Largest magnitude of each tensor."""

    n_weights: int
    tensors: tuple[Tensor, ...]
    scales: npt.NDArray[np.float32]

    def __post_init__(self) -> None:
        if self.scales.shape != (len(self.tensors),) or not (self.scales > 0).all():
            raise ParameterError("scales must be one positive number per tensor")

    def of(self, at: int, n: int) -> npt.NDArray[np.float32]:
        """Return the scale of each weight of a block."""
        found = np.empty(n, np.float32)
        for i, piece in tensor_pieces(self.tensors, at, n):
            found[piece] = self.scales[i]
        return found


@dataclass(frozen=True, kw_only=True)
class PerTensor:
    """One symbol per weight, in units of the largest of its tensor."""

    name: ClassVar[str] = "per-tensor"
    plan_type: ClassVar[type] = Scales
    side_names: ClassVar[tuple[str, ...]] = ()

    def plan(self, weights: WeightSource, tensors: Sequence[Tensor], channel: Channel) -> Scales:
        ends = np.cumsum([tensor.n_values for tensor in tensors])
        each = [weights[end - t.n_values : end] for t, end in zip(tensors, ends, strict=True)]
        scales = np.array([np.abs(w).max() for w in each], np.float32)
        return Scales(n_weights=len(weights), tensors=tuple(tensors), scales=scales)

    def n_symbols(self, plan: Scales) -> int:
        return plan.n_weights

    def encode(self, plan: Scales, at: int, block: Weights) -> Sent:
        return Sent(block / plan.of(at, len(block)), {})

    def symbols_of(self, plan: Scales, at: int, n: int, side: Mapping[str, Bits]) -> int:
        return n

    def decode(
        self,
        plan: Scales,
        at: int,
        n: int,
        arrived: Arrived,
        side: Mapping[str, Bits],
        decoder: Decoder,
    ) -> Weights:
        return arrived.symbols * plan.of(at, n)


@pytest.fixture(scope="module", autouse=True)
def added(plugins_forgotten: None) -> None:
    SCHEMES.add(PerTensor)


@pytest.fixture
def sent(small_path: Path) -> Encoded:
    return encoded(small_path, "per-tensor")


def with_arrays(side: bytes, **arrays: Array | None) -> bytes:
    """Return side information with other arrays in its plan; None takes one away."""
    length = 8 + int.from_bytes(side[:8], "little")
    index, raw = json.loads(side[8:length]), side[length:]
    tensors = {
        name: (entry, raw[slice(*entry["data_offsets"])])
        for name, entry in index.items()
        if name.removeprefix("plan/") not in arrays
    }
    kinds = {"float32": "F32", "float64": "F64", "int64": "I64"}
    for name, array in arrays.items():
        if array is not None:
            entry = {"dtype": kinds[array.dtype.name], "shape": list(array.shape)}
            tensors[f"plan/{name}"] = (entry, array.tobytes())
    at, written, body = 0, {}, b""
    for name, (entry, values) in tensors.items():
        written[name] = entry | {"data_offsets": [at, at + len(values)]}
        at, body = at + len(values), body + values
    text = json.dumps(written).encode()
    return len(text).to_bytes(8, "little") + text + body


def test_the_array_is_announced_and_taken(services: Services, sent: Encoded) -> None:
    assert sent.header.to_bytes().count(b'"plan":{"n_weights":1000,"scales":["F32",[2]]}') == 1
    path = services.receiver.open(sent.header)
    assert services.receiver.put_side(path, sent.side).status_code == 204
    path = services.receiver.open(sent.header)
    same = with_arrays(sent.side, scales=np.array([3, 2], np.float32))
    assert services.receiver.put_side(path, same).status_code == 204


@pytest.mark.parametrize(
    ("arrays", "says"),
    [
        ({"scales": np.array([1, np.nan], np.float32)}, "'scales' has a number that is not finite"),
        ({"scales": np.array([1, np.inf], np.float32)}, "'scales' has a number that is not finite"),
        ({"scales": np.array([1, 0], np.float32)}, "scales must be one positive number per tensor"),
        ({"scales": np.array([1, 2], np.float64)}, "its tensors are not the bit planes"),
        ({"scales": np.array([1, 2, 3], np.float32)}, "its tensors are not the bit planes"),
        ({"scales": np.array([[1, 2]], np.float32)}, "its tensors are not the bit planes"),
        ({"scales": None}, "its tensors are not the bit planes"),
        ({"more": np.array([1], np.int64)}, "its tensors are not the bit planes"),
    ],
)
def test_a_plan_whose_bytes_are_wrong_is_refused_and_not_kept(
    arrays: dict[str, Array | None], says: str, services: Services, sent: Encoded
) -> None:
    path = services.receiver.open(sent.header)
    answer = services.receiver.put_side(path, with_arrays(sent.side, **arrays))
    assert is_problem(answer, 422, "format-error")
    assert answer.json()["detail"].startswith("side information: ")
    assert says in answer.json()["detail"]
    assert services.receiver.there(path) == {"parts": [], "side": False}
    assert services.receiver.put_side(path, sent.side).status_code == 204


@pytest.mark.parametrize(
    ("plan", "arrays", "says"),
    [
        (
            {"n_weights": 999} | ARRAY,
            {},
            "n_weights is 1000, the plan has 999",
        ),
        (
            {"n_weights": 1000, "scales": ["F32", [3]]},
            {"scales": np.ones(3, np.float32)},
            "scales must be one positive number per tensor",
        ),
        (
            {"n_weights": 1000, "steps": ["F32", [2]]},
            {"scales": None, "steps": np.ones(2, np.float32)},
            "has no param 'steps'; known: n_weights, scales, tensors",
        ),
        (
            {"n_weights": ["I64", [2]], "scales": ["F32", [2]]},
            {"n_weights": np.full(2, 1000)},
            "param 'n_weights', must be ",
        ),
    ],
)
def test_a_plan_that_the_scheme_cannot_have_is_refused_when_its_arrays_are_there(
    plan: dict[str, object],
    arrays: dict[str, Array | None],
    says: str,
    services: Services,
    sent: Encoded,
) -> None:
    header = sent.header.model_validate_json(
        json.dumps(json.loads(sent.header.to_bytes()) | {"plan": plan})
    )
    path = services.receiver.open(header)
    answer = services.receiver.put_side(path, with_arrays(sent.side, **arrays))
    assert is_problem(answer, 422, "format-error")
    assert says in answer.json()["detail"]
    assert services.receiver.there(path) == {"parts": [], "side": False}


@pytest.mark.parametrize(
    ("array", "says"),
    [
        (["F32", [1 << 30]], "the plan's arrays take 4294967296 bytes, at most 67108864"),
        (["F32", [1 << 41]], "plan.scales"),
        (["C3PO", [2]], "has the type 'C3PO', which is not known"),
        (["F32"], "plan.scales"),
        (["F32", [2], 0], "plan.scales"),
        (["F32", [-1]], "plan.scales"),
    ],
)
def test_an_array_that_cannot_be_is_refused_at_create(
    array: list[object], says: str, services: Services, sent: Encoded
) -> None:
    fields = json.loads(sent.header.to_bytes())
    fields["plan"]["scales"] = array
    answer = services.receiver.create(json.dumps(fields).encode())
    assert is_problem(answer, 422, "format-error")
    assert says in answer.json()["detail"]


@pytest.mark.parametrize("shape", [(), (2000,), (40, 50)])
def test_a_plan_of_numbers_takes_no_array_in_their_place(
    shape: tuple[int, ...], services: Services, small_path: Path
) -> None:
    sent = encoded(small_path, "unprotected")
    fields = json.loads(sent.header.to_bytes())
    fields["plan"]["low"] = ["F32", shape]
    path = services.receiver.open(sent.header.model_validate_json(json.dumps(fields)))
    answer = services.receiver.put_side(path, with_arrays(sent.side, low=np.ones(shape, "f4")))
    assert is_problem(answer, 422, "format-error")
    assert "param 'low', must be " in answer.json()["detail"]
    assert len(answer.json()["detail"]) <= 400
