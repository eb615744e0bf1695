"""Sweeping: the runs of a sweep done in processes, or one by one over HTTP."""

import os
import signal
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor, as_completed
from concurrent.futures.process import BrokenProcessPool
from contextlib import ExitStack
from multiprocessing import get_context, parent_process
from pathlib import Path
from threading import Thread
from typing import cast

from weightcast import plugins
from weightcast.errors import LinkError, ParameterError
from weightcast.experiment.examiner import ensure
from weightcast.experiment.figures import Accuracy, DrawResult, RunResult
from weightcast.experiment.results import Results
from weightcast.experiment.runs import Run
from weightcast.models import zoo
from weightcast.models.weights import open_model
from weightcast.setup import KINDS
from weightcast_client.calling.transport import transport_to
from weightcast_client.provenance import program
from weightcast_client.screen.console import Screen
from weightcast_client.sending.clean import clean_accuracy
from weightcast_client.sending.planning import plan_send
from weightcast_client.sending.send import send
from weightcast_client.sending.testbed import own_services
from weightcast_client.sending.watching import Watch
from weightcast_client.settings import Settings

OF_A_SEND = (
    *("transmission", "model", "setup", "scheme", "params", "decoder", "channel", "std", "seed"),
    *("peak_snr_db", "average_snr_db"),
)
"""Keys of a send's result that a row has no use for: its run says them, or it was once."""


def fill(
    results: Results, runs: list[Run], screen: Screen, *, processes: int, over_http: bool = False
) -> None:
    """Do the runs that are not in the results, then put the results in order."""
    missing = [run for run in runs if run not in results]
    done = len(runs) - len(missing)
    screen.report("runs", done, len(runs))
    if missing:
        for setup in {f"{run.setup.task} {run.setup.split}": run.setup for run in missing}.values():
            ensure(setup, Settings().cache, screen.report)
        pairs = _over_http(missing, screen) if over_http else _in_processes(missing, processes)
        for run, result in pairs:
            results.add(run, result, program())
            done += 1
            screen.report("runs", done, len(runs))
    results.sort(runs)


def _in_processes(runs: list[Run], processes: int) -> Iterator[tuple[Run, RunResult]]:
    """Yield runs and their results as they are done."""
    threads = max(1, (os.cpu_count() or 1) // processes)
    pool = ProcessPoolExecutor(processes, get_context("spawn"), _begin, (threads, plugins.loaded()))
    try:
        futures = {pool.submit(_do, run): run for run in runs}
        for future in as_completed(futures):
            yield futures[future], future.result()
    except BrokenProcessPool:
        raise LinkError("a process of the sweep died; the same command goes on with it") from None
    finally:
        pool.shutdown(cancel_futures=True)


def _begin(threads: int, files: tuple[Path, ...]) -> None:
    """Prepare a process: plug-ins, its share of the cores, and no life after its parent's."""
    import torch

    for file in files:
        plugins.load(file, KINDS)
    torch.set_num_threads(threads)
    signal.signal(signal.SIGINT, signal.SIG_DFL)
    Thread(target=_follow_parent, daemon=True).start()


def _follow_parent() -> None:
    parent = parent_process()
    assert parent is not None
    parent.join()
    os._exit(1)


def _do(run: Run) -> RunResult:
    from weightcast.experiment.laboratory import laboratory

    return laboratory(Settings().cache).do(run)


def _over_http(runs: list[Run], screen: Screen) -> Iterator[tuple[Run, RunResult]]:
    """Yield runs and their results, sent through real services one by one."""
    settings = Settings().with_token()
    if any(run.noisy != "*" for run in runs):
        raise ParameterError("a link disturbs all weights; leave out --over-http")
    with ExitStack() as stack:
        url, _ = stack.enter_context(own_services(settings, runs[0].setup.task))
        transport = stack.enter_context(transport_to(url, settings))
        transport.probe()
        for run in runs:
            with open_model(zoo.find(run.model), name=run.model) as model:
                what, watch = plan_send(model, run.setup), Watch(report=screen.report)
                result = send(what, transport, settings.flights, watch)
                if run.setup.task is not None:
                    result["clean_accuracy"] = clean_accuracy(
                        model, run.setup, settings.cache, result["arithmetic"], screen.report
                    )
            yield run, _of_run(result)


def _of_run(result: DrawResult) -> RunResult:
    """Return what a row of results keeps of a send."""
    is_scored = result["accuracy"] is not None
    left_out = OF_A_SEND if is_scored else (*OF_A_SEND, *Accuracy.__annotations__)
    kept = {name: value for name, value in result.items() if name not in left_out}
    return cast(RunResult, kept | {"seconds": round(result["seconds"]["total"], 2)})
