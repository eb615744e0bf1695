"""Imports go one way, as `docs/architecture.md` draws them."""

import ast
import re
import subprocess
import sys
import tomllib
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PACKAGES = {
    "weightcast": ROOT / "common/weightcast",
    "weightcast_web": ROOT / "common/weightcast_web",
    "weightcast_link": ROOT / "link/weightcast_link",
    "weightcast_server": ROOT / "server/weightcast_server",
    "weightcast_client": ROOT / "client/weightcast_client",
}
ALLOWED = {
    "weightcast": set(),
    "weightcast_web": {"weightcast"},
    "weightcast_link": {"weightcast", "weightcast_web"},
    "weightcast_server": {"weightcast", "weightcast_web"},
    "weightcast_client": {"weightcast", "weightcast_web"},
}
ROOMS = {
    "weightcast": """
        errors paths arrays compiling registry noise measure models plugins datasets evaluation
        channels decoding coding tasks training setup pipeline wire experiment api
    """,
    "weightcast_web": """
        failpoints sqlite refusal callers settings events workers telemetry http connection running
    """,
    "weightcast_link": "settings telemetry crossing receiver passing parts app cli __main__",
    "weightcast_server": """
        settings telemetry storing receiving readiness working routes app cli __main__
    """,
    "weightcast_client": """
        provenance settings screen reproduction options calling sending sweeping service commands
        cli __main__
    """,
}
"""The modules and packages of each package from the bottom up: one imports those before it."""

LARGEST_SHARE = 0.25
"""Of the lines of a package of many rooms that are in one of them."""
SHARED_OUT = ("weightcast", "weightcast_web", "weightcast_client")
LONGEST_FUNCTION, MOST_PARAMETERS = 60, 8
COMMAND_LINE = {"cli.py", "commands"}
"""Where a parameter is an option."""

ENVIRONMENT = {"environ", "getenv", "BaseSettings"}
HEAVY = {"torch", "torchvision"}
KNOW_TORCH = {"evaluation", "tasks", "training"}

FASTER = {"numba", "llvmlite"}
"""What the link uses if it is there; without it the noise has the same bits."""
COMES_WITH = {"starlette": "fastapi"}


def modules() -> Iterator[tuple[str, Path]]:
    for package, folder in PACKAGES.items():
        for path in folder.rglob("*.py"):
            yield package, path


class ForTypes(ast.NodeTransformer):
    """Leaves out what is imported for annotations alone."""

    def visit_If(self, node: ast.If) -> ast.AST | None:
        return None if ast.unparse(node.test) == "TYPE_CHECKING" else self.generic_visit(node)


def imports(path: Path, *, everywhere: bool = True) -> set[str]:
    """Return the dotted names a file imports, or with ``everywhere`` false those at its top."""
    tree = ForTypes().visit(ast.parse(path.read_text()))
    nodes = ast.walk(tree) if everywhere else tree.body
    found = set()
    for node in nodes:
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path} has a relative import"
            found |= {node.module or ""} | {f"{node.module}.{alias.name}" for alias in node.names}
    return found


def room_of(package: str, path: Path) -> str:
    return path.relative_to(PACKAGES[package]).parts[0].removesuffix(".py")


def test_services_import_the_library_and_never_each_other() -> None:
    for package, path in modules():
        used = {name.partition(".")[0] for name in imports(path)} & PACKAGES.keys()
        assert used <= ALLOWED[package] | {package}, path


@pytest.mark.parametrize("package", PACKAGES)
def test_inside_a_package_imports_go_down(package: str) -> None:
    rooms = ROOMS[package].split()
    found = {room_of(package, path) for path in PACKAGES[package].rglob("*.py")} - {"__init__"}
    assert found == set(rooms)
    for path in PACKAGES[package].rglob("*.py"):
        room = room_of(package, path)
        if room == "__init__":
            continue
        below = set(rooms[: rooms.index(room) + 1])
        used = {name.split(".")[1] for name in imports(path) if name.startswith(f"{package}.")}
        assert used & set(rooms) <= below, path


@pytest.mark.parametrize("package", SHARED_OUT)
def test_no_room_is_more_than_a_quarter_of_its_floor(package: str) -> None:
    lines = Counter[str]()
    for path in PACKAGES[package].rglob("*.py"):
        lines[room_of(package, path)] += len(path.read_text().splitlines())
    room, most = lines.most_common(1)[0]
    assert most <= LARGEST_SHARE * lines.total(), f"{room} has {most} lines of {lines.total()}"


def test_no_function_is_long_or_takes_many_parameters() -> None:
    for _, path in modules():
        for node in ast.walk(ast.parse(path.read_text())):
            if not isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
                continue
            where = f"{path}:{node.lineno} {node.name}"
            args = node.args.posonlyargs + node.args.args + node.args.kwonlyargs
            n_parameters = len([arg for arg in args if arg.arg not in ("self", "cls")])
            is_command = bool(COMMAND_LINE & set(path.parts))
            assert is_command or n_parameters <= MOST_PARAMETERS, f"{where}: {n_parameters}"
            length = (node.end_lineno or 0) - node.lineno + 1
            length -= sum(isinstance(n, ast.arg) for n in ast.walk(node)) if is_command else 0
            assert is_command or length <= LONGEST_FUNCTION, f"{where}: {length} lines"


def test_only_these_rooms_know_torch() -> None:
    for package, path in modules():
        if KNOW_TORCH & {folder.name for folder in path.parents}:
            continue
        heavy = {name for name in imports(path, everywhere=False) if name.split(".")[0] in HEAVY}
        assert not heavy, path
        if package in ("weightcast_link", "weightcast_web"):
            assert not {name for name in imports(path) if name.split(".")[0] in HEAVY}, path


def modules_of_the_link() -> set[str]:
    """Return the dotted names of our modules that the link imports, whenever it does."""
    found: set[str] = set()
    new = {f"weightcast_link.{path.stem}" for path in PACKAGES["weightcast_link"].glob("*.py")}
    while new:
        found |= new
        used = {name for module in new for name in imports(file_of(module))}
        new = {name for name in used if file_of(name).exists()} - found
    return found


def file_of(module: str) -> Path:
    """Return the file of a module of ours; of any other name, one that does not exist."""
    package, *inner = module.split(".")
    path = PACKAGES.get(package, ROOT / "elsewhere").joinpath(*inner)
    return path / "__init__.py" if path.is_dir() else path.with_suffix(".py")


def requirements(lines: list[str]) -> dict[str, str]:
    """Return requirements by the name under which they are imported."""
    return {re.split(r"[\[<>=]", line)[0].replace("-", "_"): line for line in lines if line}


def test_the_link_requires_what_it_imports() -> None:
    used = {name.partition(".")[0] for m in modules_of_the_link() for name in imports(file_of(m))}
    used = {COMES_WITH.get(name, name) for name in used} - PACKAGES.keys() - FASTER
    listed = requirements((ROOT / "link/requirements.txt").read_text().splitlines())
    assert used - set(sys.stdlib_module_names) == listed.keys()
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    ours = requirements(project["dependencies"])
    assert {name: ours[name] for name in listed} == listed


def test_the_link_does_without_what_its_image_leaves_out() -> None:
    left_out = ("weightcast.training", "weightcast.tasks")
    assert not {name for name in modules_of_the_link() if name.startswith(left_out)}


def test_only_settings_read_the_environment() -> None:
    for _, path in modules():
        names = {
            node.attr if isinstance(node, ast.Attribute) else node.id
            for node in ast.walk(ast.parse(path.read_text()))
            if isinstance(node, ast.Attribute | ast.Name)
        }
        assert path.name == "settings.py" or not names & ENVIRONMENT, path


def test_nothing_is_unpickled() -> None:
    for _, path in modules():
        assert not {name.partition(".")[0] for name in imports(path)} & {"pickle", "dill", "joblib"}
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Call) and ast.unparse(node.func) in ("torch.load", "np.load"):
                safe = {"weights_only=True", "allow_pickle=False"}
                assert safe & {ast.unparse(keyword) for keyword in node.keywords}, path


@pytest.mark.parametrize(
    "module", ["weightcast_link.app", "weightcast_link.cli", "weightcast_client.cli"]
)
def test_starting_does_not_import_torch(module: str) -> None:
    program = f"import sys, {module}; sys.exit('torch' in sys.modules)"
    subprocess.run([sys.executable, "-c", program], check=True, timeout=60)
