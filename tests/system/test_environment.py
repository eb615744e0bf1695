"""The environments that people have: no home, no cache, notebooks, closed pipes, alphabets."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
ALPHABETS = [
    {"PYTHONIOENCODING": "ascii"},
    {"PYTHONIOENCODING": "latin-1"},
    {"LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"},
]


def run(
    *words: str, module: str = "weightcast_client", cwd: Path, **environment: str | None
) -> subprocess.CompletedProcess[str]:
    """Run a program; a variable that is None is taken away."""
    known = {k: v for k, v in (os.environ | environment).items() if v is not None}
    return subprocess.run(
        [sys.executable, "-m", module, *words],
        env=known,
        cwd=cwd,
        capture_output=True,
        text=True,
        errors="replace",
        timeout=120,
    )


def nobody(*words: str, cwd: Path, program: str = "client") -> subprocess.CompletedProcess[str]:
    """Run a program as a user without a home folder whom the system does not know."""
    code = (
        "import pwd, sys; pwd.getpwuid = {}.__getitem__;"
        f"from weightcast_{program}.cli import main; sys.argv = {['x', *words]!r}; main()"
    )
    known = {k: v for k, v in os.environ.items() if k not in ("HOME", "WEIGHTCAST_CLIENT_CACHE")}
    return subprocess.run(
        [sys.executable, "-c", code], env=known, cwd=cwd, capture_output=True, text=True, timeout=60
    )


def test_without_a_home_folder_what_needs_none_works(tmp_path: Path) -> None:
    for words in (("--help",), ("schemes",), ("models",)):
        ran = nobody(*words, cwd=tmp_path)
        assert (ran.returncode, ran.stderr) == (0, ""), words
    assert nobody("run", "--help", cwd=tmp_path, program="server").returncode == 0
    assert not list(tmp_path.iterdir())


def test_without_a_home_folder_what_needs_it_names_the_variable(tmp_path: Path) -> None:
    for words in (("data",), ("send", "--std=0.1", "--model=~/m.safetensors")):
        ran = nobody(*words, cwd=tmp_path)
        assert ran.returncode == 2 and ran.stderr.count("\n") == 1
        assert ran.stderr.startswith("error: '~/") and ": set HOME, or name" in ran.stderr
    assert not list(tmp_path.iterdir())


NOBODY = 12345
AS_NOBODY = ["setpriv", f"--reuid={NOBODY}", f"--regid={NOBODY}", "--clear-groups"]
START_PYTHON = f"import subprocess; subprocess.run([{sys.executable!r}, '-c', ''], check=True)"


def is_reachable_by_nobody() -> bool:
    if os.geteuid() != 0 or shutil.which("setpriv") is None:
        return False
    ran = subprocess.run(
        [*AS_NOBODY, sys.executable, "-c", START_PYTHON], cwd="/", capture_output=True
    )
    return ran.returncode == 0


@pytest.mark.slow
def test_an_unknown_user_without_a_cache_for_kernels_sends(small_path: Path) -> None:
    if not is_reachable_by_nobody():
        pytest.skip("needs root, setpriv and an interpreter that other users can start")
    words = ["send", "--std=0.1", "--no-evaluate", "--json", f"--model={small_path}"]
    for folder in (small_path, *small_path.parents[:3]):
        folder.chmod(folder.stat().st_mode | 0o055)
    ran = subprocess.run(
        [*AS_NOBODY, sys.executable, "-m", "weightcast_client", *words],
        env={k: v for k, v in os.environ.items() if k != "NUMBA_CACHE_DIR"} | {"HOME": "/"},
        cwd="/",
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert ran.returncode == 0, ran.stderr
    assert json.loads(ran.stdout)["n_weights"] == 1000


TRANSMIT = """
import hashlib, numpy as np
from weightcast.channels.awgn import AWGN
from weightcast.pipeline import transmit
from weightcast.setup import Setup
weights = np.linspace(-1, 1, 70_000, dtype=np.float32)
print(hashlib.sha256(transmit(weights, Setup(channel=AWGN(std=0.1)))).hexdigest())
"""


def transmitted(**environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-c", TRANSMIT],
        env=os.environ | environment,
        capture_output=True,
        text=True,
        timeout=120,
    )


@pytest.mark.slow
def test_without_a_folder_for_numbas_cache_the_same_bits_arrive() -> None:
    without = transmitted(
        NUMBA_CACHE_LOCATOR_CLASSES="UserProvidedCacheLocator", NUMBA_CACHE_DIR=""
    )
    assert without.returncode == 0, without.stderr
    assert without.stdout == transmitted().stdout != ""


def test_numba_that_is_told_to_compile_nothing_is_named(tmp_path: Path, small_path: Path) -> None:
    words = ("send", "--std=0.1", "--no-evaluate", f"--model={small_path}")
    ran = run(*words, cwd=tmp_path, NUMBA_DISABLE_JIT="1")
    assert ran.returncode == 2 and "Traceback" not in ran.stderr
    assert ran.stderr.splitlines()[-1].endswith("must be compiled: unset NUMBA_DISABLE_JIT")


def test_the_backend_of_a_notebook_does_not_keep_files_from_being_drawn(tmp_path: Path) -> None:
    code = (
        "import sys, weightcast_client.cli as cli\n"
        "sys.argv = ['client', '--version']\n"
        "try: cli.main()\n"
        "except SystemExit: pass\n"
        "import matplotlib.figure; matplotlib.figure.Figure().savefig('a.svg')"
    )
    ran = subprocess.run(
        [sys.executable, "-c", code],
        env=os.environ | {"MPLBACKEND": "nothing_that_is_installed"},
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert ran.returncode == 0, ran.stderr
    assert (tmp_path / "a.svg").exists()


@pytest.mark.parametrize("environment", ALPHABETS, ids=lambda e: "-".join(e.values()))
@pytest.mark.parametrize("words", ["inspect resnet18-cifar10-l2", "models", "schemes", "--help"])
def test_letters_that_the_terminal_lacks_are_no_error(
    words: str, environment: dict[str, str], tmp_path: Path
) -> None:
    ran = run(*words.split(), cwd=tmp_path, **environment)
    assert (ran.returncode, ran.stderr) == (0, "") and ran.stdout


def test_a_time_zone_that_is_none_changes_no_log(tmp_path: Path) -> None:
    words = ("run", "--port=70000", f"--data={tmp_path}")
    ran = run(*words, module="weightcast_server", cwd=tmp_path, TZ="Nowhere/Land")
    assert (ran.returncode, ran.stdout) == (2, "") and ran.stderr.count("\n") == 1


def shell(script: str, cwd: Path) -> subprocess.CompletedProcess[str]:
    """Run a line of a shell in which `client` is ours."""
    client = f'client() {{ "{sys.executable}" -m weightcast_client "$@"; }}\n'
    return subprocess.run(
        ["bash", "-c", client + script], cwd=cwd, capture_output=True, text=True, timeout=120
    )


def test_whoever_wants_only_the_first_lines_gets_them(tmp_path: Path) -> None:
    table = ROOT / "docs/reproduction/results.jsonl"
    for reader in ("head -n 1", "true"):
        ran = shell(
            f"client summary {table} | {reader} >/dev/null; echo ${{PIPESTATUS[0]}}", tmp_path
        )
        assert ran.stderr == "" and ran.stdout.strip() in ("0", "1")


def test_a_full_disk_is_one_line(tmp_path: Path) -> None:
    ran = shell("client schemes >/dev/full", tmp_path)
    assert (ran.returncode, ran.stderr) == (1, "error: [Errno 28] No space left on device\n")


@pytest.mark.parametrize(
    "closed",
    [
        *(pytest.param(one, marks=pytest.mark.slow) for one in ("<&-", ">&-", "2>&-")),
        "<&- >&- 2>&-",
    ],
)
def test_a_send_needs_no_standard_input_output_or_error(
    closed: str, small_path: Path, tmp_path: Path
) -> None:
    out = tmp_path / "arrived.safetensors"
    words = f"send --std 0.1 --no-evaluate --json --model {small_path} --out {out}"
    ran = shell(f"client {words} {closed}", tmp_path)
    assert ran.returncode == 0, ran.stderr
    assert out.exists() and "Traceback" not in ran.stderr


@pytest.mark.parametrize("module", ["weightcast_client", "weightcast_server", "weightcast_link"])
def test_an_interrupt_while_a_program_starts_is_one_line(module: str, tmp_path: Path) -> None:
    """The first thing that is imported is asked to interrupt: before anything else of ours is."""
    code = (
        "import os, runpy, signal, sys\n"
        "signal.signal(signal.SIGINT, signal.default_int_handler)\n"
        "class Finder:\n"
        "    def find_spec(self, name, *more):\n"
        f"        if name == '{module}.cli': os.kill(os.getpid(), signal.SIGINT)\n"
        "sys.meta_path.insert(0, Finder())\n"
        f"runpy.run_module('{module}', run_name='__main__')"
    )
    ran = subprocess.run(
        [sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True, timeout=60
    )
    assert (ran.returncode, ran.stderr) == (130, "error: interrupted\n")


def test_whoever_ignores_interrupts_goes_on_ignoring_them(tmp_path: Path) -> None:
    code = (
        "import signal; signal.signal(signal.SIGINT, signal.SIG_IGN)\n"
        "from weightcast_web.running.starting import starting\n"
        "with starting(): signal.raise_signal(signal.SIGINT)\n"
        "assert signal.getsignal(signal.SIGINT) is signal.SIG_IGN"
    )
    subprocess.run([sys.executable, "-c", code], cwd=tmp_path, check=True, timeout=60)


@pytest.mark.parametrize(
    ("variable", "value", "says"),
    [
        ("WEIGHTCAST_LINK_PORT", "tcp://10.0.0.1:8801", "must be an integer, got 'tcp://10.0.0."),
        ("WEIGHTCAST_SERVER_LEASE_S", "0", "must be more than 0, got 0"),
        ("WEIGHTCAST_CLIENT_FLIGHTS", "0", "must be at least 1, got 0"),
    ],
)
def test_a_setting_of_any_of_the_programs_is_told_in_one_line(
    variable: str, value: str, says: str, small_path: Path, tmp_path: Path
) -> None:
    words = ("send", "--std=0.1", "--no-evaluate", f"--model={small_path}")
    ran = run(*words, cwd=tmp_path, **{variable: value})
    assert (ran.returncode, ran.stdout) == (2, "")
    assert ran.stderr.startswith(f"error: {variable} {says}") and ran.stderr.count("\n") == 1


@pytest.mark.slow
def test_a_tilde_behind_an_equals_sign_is_the_home_folder(small_path: Path, tmp_path: Path) -> None:
    shutil.copy(small_path, tmp_path / "m.safetensors")
    words = ("send", "--std=0.1", "--no-evaluate", "--json", "--model=~/m.safetensors")
    ran = run(*words, "--out=~/arrived.safetensors", cwd=Path("/"), HOME=str(tmp_path))
    assert ran.returncode == 0, ran.stderr
    assert (tmp_path / "arrived.safetensors").exists()
