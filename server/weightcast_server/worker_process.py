"""The receiver's worker process."""

from weightcast.learning.architectures import ARCHITECTURES
from weightcast_server.settings import Settings
from weightcast_web.worker_process import WorkerProcess


def hire(settings: Settings) -> WorkerProcess:
    """Start a worker; it prepares for the first architecture if it is to evaluate."""
    architecture = next(iter(ARCHITECTURES)) if settings.evaluate else "-"
    return WorkerProcess(
        "weightcast_server.worker", str(settings.cache), architecture, settings.failpoint
    )
