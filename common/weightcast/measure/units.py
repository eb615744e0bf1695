r"""Conversions of noise units; the only place where decibels are computed.

The convention of the project: ``std`` is the standard deviation of the noise per real symbol, for
symbols in [-1, 1]. A real use has the noise spectral density :math:`N_0 = 2\,std^2`; a complex use
is two real ones. P is the average power :math:`E[x^2]` of the symbols that are sent.

Source: Proakis & Salehi, *Digital Communications*, 5th ed., section 2.3 (N0 per dimension).
"""

import math

from weightcast.errors import ParameterError


def decibels(ratio: float) -> float:
    """Return 10 log10 of a power ratio; minus infinity for 0.

    >>> decibels(100.0)
    20.0
    """
    _check("ratio", ratio, allow_zero=True)
    return 10 * math.log10(ratio) if ratio else -math.inf


def ratio(db: float) -> float:
    """Return the power ratio of a number of decibels.

    >>> ratio(20.0)
    100.0
    """
    return float(10 ** (db / 10))


def peak_snr_db(std: float) -> float:
    """Return the peak signal-to-noise ratio 1 / std^2 in dB; the peak symbol is 1.

    >>> round(peak_snr_db(0.1), 6)
    20.0
    """
    _check("std", std)
    return -2 * decibels(std)


def std_from_peak_snr_db(snr_db: float) -> float:
    """Return the std at which `peak_snr_db` is ``snr_db``."""
    return ratio(-snr_db / 2)


def average_snr_db(std: float, average_power: float) -> float:
    """Return the average signal-to-noise ratio P / std^2 per real use in dB.

    >>> round(average_snr_db(0.1, 0.5), 3)
    16.99
    """
    _check("average_power", average_power)
    return decibels(average_power) + peak_snr_db(std)


def std_from_average_snr_db(snr_db: float, average_power: float) -> float:
    """Return the std at which `average_snr_db` is ``snr_db``."""
    _check("average_power", average_power)
    return math.sqrt(average_power / ratio(snr_db))


def es_n0_db(std: float, average_power: float) -> float:
    """Return Es/N0 per real use, P / (2 std^2), in dB: 3.01 dB below `average_snr_db`."""
    return average_snr_db(std, average_power) - decibels(2)


def complex_es_n0_db(std: float, average_power: float) -> float:
    """Return Es/N0 per complex use, 2P / (2 std^2), in dB: equal to `average_snr_db`."""
    return es_n0_db(std, average_power) + decibels(2)


def complex_noise_variance(std: float) -> float:
    """Return the noise variance of a complex use, 2 std^2: Sionna's ``no``.

    >>> complex_noise_variance(0.5)
    0.5
    """
    _check("std", std, allow_zero=True)
    return 2 * std**2


def sdr_db(signal: float, distortion: float) -> float:
    """Return the signal-to-distortion ratio in dB; infinity without distortion.

    >>> sdr_db(10.0, 1.0)
    10.0
    """
    _check("signal", signal, allow_zero=True)
    _check("distortion", distortion, allow_zero=True)
    return decibels(signal) - decibels(distortion) if distortion else math.inf


def _check(name: str, value: float, *, allow_zero: bool = False) -> None:
    if not (0 < value < math.inf or (allow_zero and value == 0)):
        kind = "at least 0" if allow_zero else "greater than 0"
        raise ParameterError(f"{name} must be finite and {kind}, got {value}")
