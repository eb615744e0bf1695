"""Imports go one way, as `docs/architecture.md` draws them."""

import ast
import re
import subprocess
import sys
import tomllib
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
LAYERS = [
    {"errors", "arrays"},
    {"models"},
    {"units", "randomness", "fused", "registry", "intervals"},
    {"plugins", "limits", "ledger"},
    {"channels"},
    {"decoding"},
    {"coding"},
    {"tasks"},
    {"learning"},
    {"setup"},
    {"pipeline"},
    {"wire"},
    {"experiment"},
    {"api"},
]
"""Modules of `weightcast` from the bottom up; one may import its own layer and those below."""

ENVIRONMENT = {"environ", "getenv", "BaseSettings"}
HEAVY = {"torch", "torchvision"}

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


def layer_of(module: str) -> int:
    return next(i for i, layer in enumerate(LAYERS) if module in layer)


def test_services_import_the_library_and_never_each_other() -> None:
    for package, path in modules():
        used = {name.partition(".")[0] for name in imports(path)} & PACKAGES.keys()
        assert used <= ALLOWED[package] | {package}, path


def test_inside_the_library_imports_go_down() -> None:
    folder = PACKAGES["weightcast"]
    for path in folder.rglob("*.py"):
        name = path.relative_to(folder).parts[0].removesuffix(".py")
        if name == "__init__":
            continue
        for used in imports(path):
            if used.startswith("weightcast.") and used.count("."):
                module = used.split(".")[1]
                if (folder / module).exists() or (folder / f"{module}.py").exists():
                    assert layer_of(module) <= layer_of(name), f"{path} imports {used}"


def test_only_learning_and_tasks_know_torch() -> None:
    for package, path in modules():
        if {"learning", "tasks"} & {folder.name for folder in path.parents}:
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
    left_out = ("weightcast.learning", "weightcast.tasks")
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
