"""Planning: what is sent, with the plan that all draws of the noise share."""

import time
from dataclasses import dataclass, replace
from typing import Any

from weightcast.models.weights import Model
from weightcast.pipeline import plan_for
from weightcast.setup import Setup


@dataclass(frozen=True, slots=True, kw_only=True)
class PlannedSend:
    """A model that is planned to be sent.

    Args:
        model: to be sent.
        setup: how, and with which draw of the noise.
        plan: of its scheme.
        seconds: that planning took.
    """

    model: Model
    setup: Setup
    plan: Any
    seconds: float

    def with_draw(self, draw: int) -> "PlannedSend":
        """Return the same with another draw of the noise."""
        return replace(self, setup=replace(self.setup, draw=draw))


def plan_send(model: Model, setup: Setup) -> PlannedSend:
    """Plan the transmission of a model."""
    began = time.perf_counter()
    plan = plan_for(model, setup, model.layout.weights)
    return PlannedSend(model=model, setup=setup, plan=plan, seconds=time.perf_counter() - began)
