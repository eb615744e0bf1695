"""Collaborators: what the routes of a receiver work with."""

from dataclasses import dataclass

from weightcast_server.receiving.intake import Intake
from weightcast_server.routes.views import TransmissionViews
from weightcast_server.settings import Settings
from weightcast_server.storing.store import Store
from weightcast_server.telemetry import Telemetry
from weightcast_server.working.supervisor import Supervisor
from weightcast_web.events.changes import Changes
from weightcast_web.telemetry.metrics import Flights


@dataclass(frozen=True, slots=True, kw_only=True)
class Collaborators:
    """The parts of one receiver.

    Args:
        settings: limits.
        store: the database.
        intake: takes in what arrives.
        views: transmissions as callers see them.
        changes: is told whatever is new.
        supervisor: has the work done.
        telemetry: is told of what happens.
        flights: how many parts may be put on disk at once.
    """

    settings: Settings
    store: Store
    intake: Intake
    views: TransmissionViews
    changes: Changes
    supervisor: Supervisor
    telemetry: Telemetry
    flights: Flights
