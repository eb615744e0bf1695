import numpy as np
import pytest

from weightcast.measure.capacity import capacity
from weightcast.measure.ledger import ErrorMeter, Ledger, SymbolMeter


def ledger(std: float) -> Ledger:
    """The paper's adaptive redundancy on ResNet-18, the mask at its entropy."""
    return Ledger(
        n_weights=11_164_352,
        n_symbols=11_227_334,
        side_bits={"signs": 11_164_352, "classes": round(0.0076 * 11_164_352)},
        carried_bits=0,
        header_bits=0,
        capacity=capacity(std),
    )


def test_the_paper_counts_1_00564_uses_per_weight() -> None:
    assert ledger(0.1).uses_per_weight == pytest.approx(1.00564, abs=5e-6)


@pytest.mark.parametrize(
    ("std", "extra"), [(0.01, 0.18), (0.05, 0.30), (0.1, 0.40), (0.5, 1.07), (1, 2.07)]
)
def test_signs_and_classes_cost_what_capacity_says(std: float, extra: float) -> None:
    found = ledger(std)
    assert found.all_in_uses_per_weight - found.uses_per_weight == pytest.approx(extra, abs=0.006)


def test_all_error_free_bits_are_charged() -> None:
    found = Ledger(
        n_weights=10,
        n_symbols=10,
        side_bits={"signs": 3},
        carried_bits=4,
        header_bits=5,
        capacity=2,
    )
    assert found.bits == {"signs": 3, "carried": 4, "header": 5}
    assert found.extra_uses == {"signs": 0.15, "carried": 0.2, "header": 0.25}
    assert found.all_in_uses_per_weight == pytest.approx(1.6)


def test_bits_are_free_on_a_perfect_link() -> None:
    assert ledger(0.0).all_in_uses_per_weight == ledger(0.0).uses_per_weight


def test_power_and_peak_are_those_of_all_symbols() -> None:
    meter = SymbolMeter()
    assert meter.average_power == 0
    for symbols in ([0.5, -1.0], [], [0.25]):
        meter.add(np.array(symbols, np.float32))
    assert meter.average_power == pytest.approx((0.25 + 1 + 0.0625) / 3)
    assert meter.peak == 1


def test_errors_are_summed_in_float64() -> None:
    meter = ErrorMeter()
    sent = np.full(1 << 20, 1e-4, np.float32)
    meter.add(sent, sent + np.float32(1e-5))
    step = float(np.float32(1e-4) + np.float32(1e-5)) - float(np.float32(1e-4))
    assert meter.weight_mse == pytest.approx(step**2, rel=1e-9)
    assert meter.sdr_db == pytest.approx(20, abs=0.01)
