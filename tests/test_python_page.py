"""The code of `docs/python.md` runs as it stands."""

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
BLOCKS = re.findall(
    r"^```python ?(\w*)\n(.*?)^```", (ROOT / "docs/python.md").read_text(), flags=re.M | re.S
)


def run(blocks: list[str]) -> None:
    scope: dict[str, object] = {}
    for block in blocks:
        exec(block, scope)


@pytest.mark.usefixtures("plugins_forgotten")
def test_the_page_without_a_data_set(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(ROOT)
    run([code for mark, code in BLOCKS if mark != "cifar"])


@pytest.mark.slow
@pytest.mark.cifar
def test_the_page_with_a_data_set() -> None:
    run(["import weightcast", *(code for mark, code in BLOCKS if mark == "cifar")])
