"""The house: which package may import what, and what the wheel holds."""

import ast
import re
import shutil
import subprocess
import sys
import zipfile
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
PACKAGES = ("hwsim", "trainers", "reports")
#: Third-party packages that only some files may import, by the paths that may.
RESERVED = {
    "torch": ("trainers/", "hwsim/engines/tensor.py", "hwsim/engines/int8_convolution.py", "hwsim/engines/device"),
    "torchvision": ("trainers/",),
    "sklearn": ("trainers/",),
    "scipy": ("trainers/", "reports/"),
    "pandas": ("reports/",),
    "jinja2": ("reports/",),
    "matplotlib": ("reports/",),
    "typer": ("hwsim/cli",),
    "amaranth": ("hwsim/rtl/",),
}
DATA_SUFFIXES = (".csv", ".npy", ".typed", ".html", ".css", ".js", ".txt")
FILES = sorted(path.relative_to(ROOT).as_posix() for name in PACKAGES for path in (ROOT / name).rglob("*.py"))


def imports(file: str) -> Iterator[tuple[str, bool, int]]:
    """Yield (module, whether it is imported only when a function runs or types are checked, line)."""

    def visit(node: ast.AST, deferred: bool) -> Iterator[tuple[str, bool, int]]:
        if isinstance(node, ast.Import):
            yield from ((alias.name, deferred, node.lineno) for alias in node.names)
        if isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{file}:{node.lineno} imports relatively"
            yield str(node.module), deferred, node.lineno
        typing_only = isinstance(node, ast.If) and ast.unparse(node.test) in ("TYPE_CHECKING", "typing.TYPE_CHECKING")
        inside = deferred or typing_only or isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda)
        for child in ast.iter_child_nodes(node):
            yield from visit(child, inside)

    yield from visit(ast.parse((ROOT / file).read_text()), False)


def allowed(file: str, module: str, deferred: bool) -> bool:
    """Return whether a file may import a module."""
    home, target = file.split("/", maxsplit=1)[0], module.split(".")[0]
    if target in RESERVED:
        return file.startswith(RESERVED[target]) or (deferred and file.startswith("hwsim/cli/"))
    if target not in PACKAGES or target in (home, "hwsim"):
        return target != "tests"
    return home == "hwsim" and file.startswith("hwsim/cli") and deferred


def test_there_is_something_to_check() -> None:
    assert {file.split("/", maxsplit=1)[0] for file in FILES} == set(PACKAGES)
    assert {"hwsim/network.py", "hwsim/engines/tensor.py", "hwsim/cli/demo.py"} <= set(FILES)
    found = {module for file in FILES for module, _, _ in imports(file)}
    assert {"torch", "pandas", "numpy", "hwsim.formats"} <= found


@pytest.mark.parametrize(
    ("file", "module", "deferred", "verdict"),
    [
        ("hwsim/network.py", "trainers.loop", True, False),
        ("hwsim/cli/train.py", "trainers.loop", True, True),
        ("hwsim/cli/train.py", "trainers.loop", False, False),
        ("hwsim/cli.py", "reports", True, True),
        ("trainers/loop.py", "reports.records", True, False),
        ("reports/records.py", "trainers.loop", True, False),
        ("reports/records.py", "hwsim.output", False, True),
        ("trainers/loop.py", "hwsim", False, True),
        ("hwsim/engines/reference.py", "torch", True, False),
        ("hwsim/engines/tensor.py", "torch.nn", False, True),
        ("hwsim/output.py", "pandas", True, False),
        ("trainers/record.py", "pandas", False, False),
        ("hwsim/rtl/unit.py", "amaranth.lib", False, True),
        ("hwsim/multipliers/array.py", "amaranth.hdl", True, False),
        ("hwsim/files.py", "tests.random_networks", False, False),
        ("hwsim/files.py", "os", False, True),
    ],
)
def test_the_rule_itself(file: str, module: str, deferred: bool, verdict: bool) -> None:
    assert allowed(file, module, deferred) is verdict


@pytest.mark.parametrize("file", FILES)
def test_imports_run_one_way(file: str) -> None:
    wrong = [f"{file}:{line} imports {module}" for module, deferred, line in imports(file)
             if not allowed(file, module, deferred)]  # fmt: skip
    assert not wrong


def test_every_package_folder_has_an_init() -> None:
    folders = {(ROOT / file).parent for file in FILES}
    assert not [str(folder) for folder in folders if not (folder / "__init__.py").is_file()]


def test_tests_are_a_flat_folder_without_an_init() -> None:
    files = [path for path in (ROOT / "tests").rglob("*.py") if "golden" not in path.parts]
    assert {path.parent for path in files} == {ROOT / "tests"}
    assert not (ROOT / "tests" / "__init__.py").exists()


@pytest.mark.parametrize("module", ["hwsim", "hwsim.cli"])
def test_the_door_opens_without_the_heavy_packages(module: str) -> None:
    heavy = {"torch", "amaranth", "pandas", "matplotlib", "sklearn", "scipy", "safetensors", "trainers", "reports"}
    code = f"import sys, {module}; print(*({heavy} & set(sys.modules)))"
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=ROOT)
    assert run.stdout.split() == []


def test_the_reference_engine_needs_no_torch() -> None:
    code = (
        "import sys; sys.modules['torch'] = None\n"
        "from hwsim.engines import simulate; from hwsim.network import Network; from hwsim.nodes import Input\n"
        "print(simulate(Network((Input('x', (), (2,)),)), [[1, 2]], 'reference').predictions)"
    )
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=ROOT)
    assert run.stdout.strip() == "[1]"


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> list[str]:
    """Return the names in a wheel that is built from a copy of the tree, baits included."""
    source = tmp_path_factory.mktemp("build") / "source"
    ignored = shutil.ignore_patterns(".*", "build", "dist", "runs", "*.egg-info", "__pycache__")
    shutil.copytree(ROOT, source, ignore=ignored)
    for bait in ("scratch", "hwsim_old", "tests"):
        (source / bait).mkdir(exist_ok=True)
        (source / bait / "__init__.py").touch()
    command = [sys.executable, "-m", "build", "--wheel", "--no-isolation", "--outdir", str(source / "out"), str(source)]
    run = subprocess.run(command, capture_output=True, text=True, check=False)
    assert run.returncode == 0, run.stdout + run.stderr
    with zipfile.ZipFile(next((source / "out").glob("*.whl"))) as archive:
        return archive.namelist()


def test_the_wheel_holds_the_three_packages_and_nothing_else(wheel: list[str]) -> None:
    tops = {name.split("/", maxsplit=1)[0] for name in wheel}
    assert {top for top in tops if not top.endswith(".dist-info")} == set(PACKAGES)
    assert len(tops) == len(PACKAGES) + 1


def test_the_wheel_holds_every_module_and_data_file(wheel: list[str]) -> None:
    data = [path for name in PACKAGES for path in (ROOT / name).rglob("*") if path.suffix in DATA_SUFFIXES]
    wanted = {*FILES, *(path.relative_to(ROOT).as_posix() for path in data)}
    assert {f"{name}/py.typed" for name in PACKAGES} <= wanted
    assert {name for name in wheel if not name.split("/", maxsplit=1)[0].endswith(".dist-info")} == wanted
    assert any(name.endswith("/licenses/LICENSE") for name in wheel)


def test_contributing_points_at_files_that_exist() -> None:
    paths = re.findall(r"`((?:hwsim|trainers|reports|tests)/[\w/]+\.py)`", (ROOT / "CONTRIBUTING.md").read_text())
    assert len(paths) > 15
    assert [path for path in paths if not (ROOT / path).is_file()] == []
