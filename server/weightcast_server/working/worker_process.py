"""The receiver's worker process."""

from weightcast_server.settings import Settings
from weightcast_web.workers.process import WorkerProcess


def start_worker(settings: Settings) -> WorkerProcess:
    """Start a worker; it prepares for the default task if it is to evaluate."""
    return WorkerProcess(
        "weightcast_server.working.worker",
        str(settings.cache),
        "prepare" if settings.evaluate else "-",
        settings.failpoint,
        *map(str, settings.plugins),
    )
