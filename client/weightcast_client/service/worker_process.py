"""The sender service's worker process."""

import shutil

from weightcast_client.settings import Settings
from weightcast_web.workers.process import WorkerProcess


def start_worker(settings: Settings) -> WorkerProcess:
    """Start a worker; what a killed one has left in its scratch folder is deleted."""
    scratch = settings.data / "scratch"
    shutil.rmtree(scratch, ignore_errors=True)
    scratch.mkdir(parents=True, exist_ok=True)
    module = "weightcast_client.service.worker"
    return WorkerProcess(module, str(scratch), environment=settings.environment())
