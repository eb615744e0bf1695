"""A model sent in this process: what arrives, and what it costs."""

import hashlib
import io
from collections.abc import Callable
from typing import Any

from weightcast.arrays import Weights, blocks
from weightcast.channels import Channel
from weightcast.channels.awgn import AWGN
from weightcast.coding import Sent
from weightcast.errors import ParameterError
from weightcast.measure.ledger import ErrorMeter, SymbolMeter, figures
from weightcast.measure.units import average_snr_db, peak_snr_db
from weightcast.models.weights import Model
from weightcast.pipeline import plan_for, transmit
from weightcast.registry import params_of
from weightcast.setup import Setup
from weightcast.wire.side import SideWriter
from weightcast.wire.transmission import announce, ledger_of


def cross(
    model: Model, setup: Setup, is_noisy: Callable[[str], bool] = lambda name: True
) -> tuple[Weights, dict[str, Any]]:
    """Return the weights that arrive, shape (n_weights,), and the figures of the transmission.

    Args:
        model: to be sent.
        setup: how.
        is_noisy: says by its name whether noise is let through on a tensor.

    Raises:
        ParameterError: no tensor is noisy.
    """
    tensors = model.layout.weights
    plan = plan_for(model, setup, tensors)
    symbols, error = SymbolMeter(), ErrorMeter()
    with SideWriter(setup.scheme.side_names) as side:

        def watch(sent: Sent) -> None:
            symbols.add(sent.symbols)
            side.add(sent.side)

        received = transmit(model, setup, tensors, plan, watch)
        _restore(received, model, is_noisy)
        for at, block in blocks(model):
            error.add(block, received[at : at + len(block)])
        header = announce(model.name, model.layout, setup, plan)
        body = io.BytesIO()
        plane_bytes = side.write(body, model, plan)
    ledger = ledger_of(header, plane_bytes, body.tell(), setup.channel.capacity())
    digest = hashlib.sha256(received.data).hexdigest()
    return received, figures(ledger, symbols, error) | {"weights_digest": digest}


def facts_of(model: Model, setup: Setup) -> dict[str, Any]:
    """Return what was sent and how, under the names that results use."""
    return {
        "model": model.name,
        "scheme": setup.scheme.name,
        "params": params_of(setup.scheme),
        "decoder": setup.decoder.name,
        "channel": setup.channel.name,
        "std": getattr(setup.channel, "std", None),
        "seed": setup.seed,
        "setup": setup.spec(),
    }


def snr_of(channel: Channel, average_power: float) -> dict[str, float | None]:
    """Return peak and average SNR in dB; None for other channels than `awgn`."""
    std = channel.std if isinstance(channel, AWGN) else 0.0
    return {
        "peak_snr_db": peak_snr_db(std) if std else None,
        "average_snr_db": average_snr_db(std, average_power) if std and average_power else None,
    }


def _restore(received: Weights, model: Model, is_noisy: Callable[[str], bool]) -> None:
    """Put back the weights of the tensors on which no noise is let through."""
    noisy = {tensor for tensor in model.layout.weights if is_noisy(tensor.name)}
    if not noisy:
        raise ParameterError(f"'{model.name}' has no weights on which noise is let through")
    end = 0
    for tensor in model.layout.weights:
        start, end = end, end + tensor.n_values
        if tensor not in noisy:
            received[start:end] = model[start:end]
