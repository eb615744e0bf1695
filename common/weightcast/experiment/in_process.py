"""A model sent in this process: what arrives, and what it costs."""

import hashlib
import io
from collections.abc import Callable

from weightcast.arrays import Weights, blocks
from weightcast.coding import Sent
from weightcast.errors import ParameterError
from weightcast.experiment.figures import Delivery, costs_of
from weightcast.measure.ledger import ErrorMeter, SymbolMeter
from weightcast.models.weights import Model
from weightcast.pipeline import plan_for, transmit
from weightcast.setup import Setup
from weightcast.wire.side import SideWriter
from weightcast.wire.transmission import announce, ledger_of


def send_in_process(
    model: Model, setup: Setup, is_noisy: Callable[[str], bool] = lambda name: True
) -> tuple[Weights, Delivery]:
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
    return received, {**costs_of(ledger, symbols, error), "weights_digest": digest}


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
