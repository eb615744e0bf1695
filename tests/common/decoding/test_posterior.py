"""Posterior means against numerical integration, and what a plan tells of the weights."""

from dataclasses import replace

import numpy as np
import pytest

from weightcast.arrays import BLOCK
from weightcast.channels import Channel, State
from weightcast.channels.awgn import AWGN
from weightcast.channels.erasures import Erasures
from weightcast.channels.fading.rayleigh import Rayleigh
from weightcast.coding import SCHEMES, Scheme
from weightcast.coding.paper.adaptive_redundancy import AdaptiveRedundancy
from weightcast.coding.paper.sign_protection import SignProtection
from weightcast.coding.paper.unprotected import Unprotected
from weightcast.coding.scales import STEP, root_mean_squares, scale_of_each
from weightcast.decoding import Decoder, Prior
from weightcast.decoding.half_normal import HalfNormal
from weightcast.decoding.inversion import Inversion
from weightcast.decoding.laplace import Laplace
from weightcast.decoding.lmmse import Lmmse
from weightcast.decoding.posterior import inverse_mills
from weightcast.errors import ParameterError
from weightcast.models.tensors import Tensor
from weightcast.pipeline import plan_for, transmit
from weightcast.registry import build
from weightcast.setup import Setup

ONE_DB = 10**0.05
RNG = np.random.Generator(np.random.Philox(8))
TENSORS = (
    Tensor("conv", "F32", (8, 3, 3, 3)),
    Tensor("fc", "F32", (10, 64)),
    Tensor("b", "F32", (7,)),
)
SIZES = np.repeat(RNG.uniform(0.02, 0.3, 8 + 10 + 1), [27] * 8 + [64] * 10 + [7])
WEIGHTS = (SIZES * RNG.standard_normal(len(SIZES))).astype(np.float32)


def integrated(density: np.ndarray, grid: np.ndarray, m: float, sigma: float) -> float:
    """Return the posterior mean by the rule of trapezoids."""
    mass = density * np.exp(-((m - grid) ** 2) / (2 * sigma**2))
    return float(np.trapezoid(mass * grid, grid) / np.trapezoid(mass, grid))


@pytest.mark.parametrize("is_magnitude", [True, False])
@pytest.mark.parametrize("m", [-0.9, -0.2, 0.0, 0.3, 1.4])
@pytest.mark.parametrize("decoder", [HalfNormal(), Laplace()])
def test_the_mean_is_that_of_an_integration(decoder: Decoder, m: float, is_magnitude: bool) -> None:
    s, half, centre, std = 0.4, 0.7, 0.1, 0.5
    grid = np.linspace(0 if is_magnitude else -8, 8, 400_001)
    normal = np.exp(-(grid**2) / (2 * s**2))
    density = normal if isinstance(decoder, HalfNormal) else np.exp(-np.abs(grid) * 2**0.5 / s)
    prior = Prior(scale=np.array([s]), half=half, centre=centre, is_magnitude=is_magnitude)

    def found(std: float) -> float:
        y = np.array([(m - centre) / half])
        return centre + half * float(decoder.estimate(y, State(1.0, std), prior)[0])

    expected = integrated(density, grid, m, half * std)
    assert found(std) == pytest.approx(expected, abs=1e-6)
    assert abs(found(std * ONE_DB) - expected) > 1e-3 or (m == 0 and not is_magnitude)


def test_linear_estimates_have_the_least_error_among_linear_ones() -> None:
    n, s, sigma = 400_000, 0.3, 0.4
    w = np.abs(s * RNG.standard_normal(n))
    m = w + sigma * RNG.standard_normal(n)
    prior = Prior(scale=np.full(n, s), is_magnitude=True)
    error = np.mean((Lmmse().estimate(m, State(1.0, sigma), prior) - w) ** 2)
    variance = s**2 * (1 - 2 / np.pi)
    assert error == pytest.approx(variance * sigma**2 / (variance + sigma**2), rel=0.02)
    slope, offset = np.polyfit(m, w, 1)
    assert error == pytest.approx(np.mean((slope * m + offset - w) ** 2), rel=1e-3)


def test_the_inverse_mills_ratio_is_right_everywhere() -> None:
    x = np.array([-1e8, -200.0, -12.01, -11.99, -3.0, 0.0, 5.0, 40.0])
    found = inverse_mills(x)
    # For large -x it lies between -x and -x + 1 / -x (Feller, vol. 1, VII.1).
    assert (found[:4] >= -x[:4]).all() and (found[:4] <= -x[:4] - 1 / x[:4]).all()
    assert abs(found[2] - found[3] - 0.02 * (1 - 1 / 144)) < 1e-4
    assert found[4] == pytest.approx(3.2830986549, rel=1e-9)
    assert found[5] == pytest.approx(0.7978845608, rel=1e-9)
    assert found[7] == 0.0


def test_scales_are_those_of_filters_and_tensors_to_within_a_step() -> None:
    by_filter = root_mean_squares(WEIGHTS, TENSORS, "filter")
    assert len(by_filter) == 8 + 10 + 1
    assert by_filter[0] == pytest.approx(np.sqrt(np.mean(WEIGHTS[:27].astype("f8") ** 2)))
    assert len(root_mean_squares(WEIGHTS, TENSORS, "tensor")) == 3
    decoder = HalfNormal()
    plan = plan_for(WEIGHTS, Setup(channel=AWGN(std=0.1), decoder=decoder), TENSORS)
    assert plan.scales.dtype == np.uint8 and plan.scales.shape == (19,)
    each = scale_of_each(plan, 0, len(WEIGHTS), decoder)
    expected = np.repeat(by_filter, [27] * 8 + [64] * 10 + [7])
    assert np.abs(np.log(each / expected)).max() <= STEP / 2 + 1e-9
    part = scale_of_each(plan, 200, 40, decoder)
    assert np.array_equal(part, each[200:240])


def test_an_empty_tensor_and_one_of_zeros_have_their_scales() -> None:
    tensors = (
        Tensor("none", "F32", (0, 4)),
        Tensor("zeros", "F32", (2, 2)),
        Tensor("x", "F32", (2,)),
    )
    weights = np.array([0, 0, 0, 0, 1, -1], np.float32)
    setup = Setup(channel=AWGN(std=0.1), decoder=HalfNormal())
    plan = plan_for(weights, setup, tensors)
    assert scale_of_each(plan, 0, 6, setup.decoder).tolist() == [0, 0, 0, 0, 1, 1]
    assert np.isfinite(transmit(weights, setup, tensors)).all()


def test_a_plan_with_other_scales_is_refused() -> None:
    setup = Setup(channel=AWGN(std=0.1), decoder=HalfNormal())
    plan = plan_for(WEIGHTS, setup, TENSORS)
    for bad in (plan.scales[:-1], plan.scales.astype(np.float32)):
        with pytest.raises(ParameterError, match=r"scales must be uint8 \(19,\), got"):
            scale_of_each(replace(plan, scales=bad), 0, 5, setup.decoder)


@pytest.mark.parametrize("channel", [AWGN(std=0.5), Rayleigh(std=0.2, block=5), Erasures(std=0.2)])
@pytest.mark.parametrize("scheme", [Unprotected(), SignProtection(), AdaptiveRedundancy(n_large=9)])
def test_every_law_has_a_smaller_error_than_inversion(
    scheme: Scheme[object], channel: Channel
) -> None:
    def error(decoder: Decoder) -> float:
        setup = Setup(scheme=scheme, channel=channel, decoder=decoder, seed=5)
        return float(np.mean((transmit(WEIGHTS, setup, TENSORS) - WEIGHTS) ** 2))

    plain = error(Inversion())
    assert all(error(decoder) < plain for decoder in (HalfNormal(), Laplace(), Lmmse()))


@pytest.mark.parametrize("name", SCHEMES)
def test_blocks_are_decoded_alike_however_they_are_cut(name: str) -> None:
    n = BLOCK + 999
    tensors = (Tensor("a", "F32", (n // 1000, 1000)), Tensor("b", "F32", (n % 1000,)))
    weights = (0.1 * RNG.standard_normal(n)).astype(np.float32)
    setup = Setup(scheme=build(SCHEMES, name), channel=AWGN(std=0.3), decoder=HalfNormal())
    assert np.isfinite(transmit(weights, setup, tensors)).all()
