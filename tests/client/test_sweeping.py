"""A row of results says the same, whichever way its run was done."""

from pathlib import Path
from typing import Any

import pytest

from weightcast.experiment.results import Results
from weightcast.experiment.sweeps import Sweep
from weightcast_client.screen.console import Screen
from weightcast_client.sweeping import fill


@pytest.mark.slow
def test_a_run_without_a_task_has_the_same_row_over_http(small_path: Path, tmp_path: Path) -> None:
    fields: dict[str, Any] = {"schemes": {"unprotected": {}}, "channels": {"awgn": {"std": 0.1}}}
    runs = Sweep(model=str(small_path), **fields).runs()
    rows = []
    for over_http in (False, True):
        results = Results(tmp_path / f"{over_http}.jsonl")
        fill(results, runs, Screen(), processes=1, over_http=over_http)
        rows.append(results[runs[0]].figures | {"seconds": 0})
    assert rows[0] == rows[1]
    assert "accuracy" not in rows[0]
