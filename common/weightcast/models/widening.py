"""Values of a tensor from its bytes: every float type becomes float32, exactly but for F64."""

import numpy as np
import numpy.typing as npt

from weightcast.arrays import Weights

WEIGHT_DTYPES = ("F32", "BF16", "F16", "F64", "F8_E4M3", "F8_E5M2", "F8_E4M3FNUZ", "F8_E5M2FNUZ")
"""Types that can be sent as weights; F8_E8M0 is for scales, values of 4 and 6 bits are packed."""

PLAIN = {
    "F64": "<f8", "F32": "<f4", "F16": "<f2", "I64": "<i8", "U64": "<u8", "I32": "<i4",
    "U32": "<u4", "I16": "<i2", "U16": "<u2", "I8": "i1", "U8": "u1", "BOOL": "u1",
}  # fmt: skip
"""Types that numpy has, in numpy's letters."""

Raw = npt.NDArray[np.uint8]
Values = npt.NDArray[np.generic]


def _table(mantissa_bits: int, bias: int, nan: tuple[int, ...]) -> Weights:
    """Return the 256 values of an 8-bit float without infinities, by their code.

    Sources: E4M3 is table 1 of the OCP 8-bit Floating Point Specification, revision 1.0; the types
    `FNUZ` are section 2 of Noune et al., *8-bit Numerical Formats for Deep Neural Networks*, 2022.
    """
    code = np.arange(256)
    exponent, mantissa = code % 128 >> mantissa_bits, code % (1 << mantissa_bits)
    fraction = mantissa / (1 << mantissa_bits) + (exponent > 0)
    values = np.ldexp(fraction, np.maximum(exponent, 1) - bias)
    values[128:] *= -1
    values[list(nan)] = np.nan
    return np.asarray(values, np.float32)


_FLOAT8: dict[str, Weights] = {
    "F8_E4M3": _table(3, 7, (0x7F, 0xFF)),
    "F8_E4M3FNUZ": _table(3, 8, (0x80,)),
    "F8_E5M2FNUZ": _table(2, 16, (0x80,)),
    # The upper byte of a float16, and of a float32 without its sign (OCP MX specification 1.0).
    "F8_E5M2": (np.arange(256, dtype=np.uint16) << 8).view(np.float16).astype(np.float32),
    "F8_E8M0": np.append(np.ldexp(1.0, np.arange(255) - 127), np.nan).astype(np.float32),
}

FLOATS = (*WEIGHT_DTYPES, "F8_E8M0")


def values_of(raw: Raw, dtype: str) -> Values | None:
    """Return the values that bytes stand for, in a type of numpy; None: their type is packed.

    Args:
        raw: shape (n_bytes,).
        dtype: as safetensors writes it.
    """
    if dtype in PLAIN:
        return raw.view(PLAIN[dtype])
    if dtype == "BF16":
        return (raw.view("<u2").astype(np.uint32) << 16).view(np.float32)
    return _FLOAT8[dtype][raw] if dtype in _FLOAT8 else None


def widen_into(out: Weights, raw: Raw, dtype: str) -> None:
    """Write the float32 values of bytes of a type of `WEIGHT_DTYPES` into ``out``, shape (n,)."""
    if dtype == "BF16":
        np.left_shift(raw.view("<u2"), 16, out=out.view(np.uint32), dtype=np.uint32)
    elif dtype in _FLOAT8:
        np.take(_FLOAT8[dtype], raw, out=out)
    else:
        with np.errstate(over="ignore"):  # Of F64; `Model` carries tensors that do not fit.
            out[:] = raw.view(PLAIN[dtype])
