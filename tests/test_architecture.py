"""The rooms import downwards only, and light rooms stay light."""

import ast
import pathlib
import subprocess
import sys

import pytest

ROOT = pathlib.Path(__file__).parents[1]
# Rooms from the top; a room may import rooms of a later row, or listed beside it.
ROWS = [
    {"comparison"},
    {"report", "regimes", "shift"},
    {"training", "prediction", "recipes", "evaluation", "testing"},
    {"files_in"},
    {"tasks", "data", "kernels"},
    {"models", "adapters", "baselines", "backend"},
    {"layers", "losses", "metrics", "features", "tables"},
    {"errors", "files", "untrusted", "_version"},
]
BESIDE = {
    ("regimes", "report"),
    ("shift", "report"),
    ("recipes", "training"),
    ("prediction", "training"),
    ("prediction", "adapters"),
    ("adapters", "backend"),
    ("layers", "features"),
    ("files", "errors"),
    ("untrusted", "errors"),
}


def rank(room):
    return next(i for i, row in enumerate(ROWS) if room in row)


def imported_rooms(path):
    for node in ast.walk(ast.parse(path.read_text())):
        modules = []
        if isinstance(node, ast.ImportFrom) and node.module:
            modules = [node.module]
            if node.module == "kphotoz":
                modules = [f"kphotoz.{alias.name}" for alias in node.names]
        elif isinstance(node, ast.Import):
            modules = [alias.name for alias in node.names]
        for module in modules:
            parts = module.split(".")
            if parts[0] == "kphotoz" and len(parts) > 1 and parts[1] != "__version__":
                yield parts[1]


@pytest.mark.parametrize(
    "path", sorted((ROOT / "kphotoz").rglob("*.py")), ids=lambda p: str(p.name)
)
def test_rooms_import_downwards(path):
    parts = path.relative_to(ROOT / "kphotoz").parts
    room = parts[0] if len(parts) > 1 else path.stem
    if room == "__init__":
        return
    for other in imported_rooms(path):
        allowed = other == room or (room, other) in BESIDE or rank(other) > rank(room)
        assert allowed, f"{room} imports {other}"


@pytest.mark.parametrize(
    "path", sorted((ROOT / "datasets").rglob("*.py")), ids=lambda p: str(p.name)
)
def test_builders_import_what_reads_and_describes_surveys_only(path):
    above = {room for row in ROWS[: rank("files_in")] for room in row}
    found = set(imported_rooms(path))
    assert not found & above, f"{path} imports {found & above}"
    assert "kphotoz_cli" not in path.read_text(), f"{path} imports the command line"


@pytest.mark.parametrize(
    "path", sorted((ROOT / "cli").glob("*.py")), ids=lambda p: p.name
)
def test_the_command_line_computes_nothing(path):
    """It parses, calls the rooms' public names, and prints."""
    text = path.read_text()
    for node in ast.walk(ast.parse(text)):
        modules = []
        if isinstance(node, ast.ImportFrom):
            modules = [node.module or ""]
            names = [alias.name for alias in node.names if alias.name != "__version__"]
            private = [name for name in names if name.startswith("_")]
            assert not private, f"{path} imports {private}"
        elif isinstance(node, ast.Import):
            modules = [alias.name for alias in node.names]
        for module in modules:
            head = module.split(".")[0]
            ours = head in ("click", "kphotoz", "kphotoz_cli", "rich")
            assert ours or head in sys.stdlib_module_names, f"{path} imports {module}"
            assert "._" not in module, f"{path} imports {module}"


@pytest.mark.parametrize(
    "path", sorted((ROOT / "kphotoz").rglob("*.py")), ids=lambda p: str(p.name)
)
def test_no_import_is_hidden(path):
    """Where builders are registered by name is the one place that imports by text."""
    text = path.read_text()
    registers = path.relative_to(ROOT / "kphotoz").as_posix() in (
        "data/survey.py",
        "files_in/importing.py",
    )
    assert registers or "import_module" not in text, f"{path} imports by text"
    assert "kphotoz_cli" not in text, f"{path} imports the command line"
    hidden = [
        node
        for node in ast.parse(text).body
        if isinstance(node, ast.FunctionDef) and node.name == "__getattr__"
    ]
    assert not hidden, f"{path} imports what is asked of the module"


@pytest.mark.parametrize(
    "path",
    [
        p
        for p in sorted((ROOT / "kphotoz").rglob("*.py"))
        if p.relative_to(ROOT / "kphotoz").parts[0] not in ("data", "backend")
    ],
    ids=lambda p: str(p.name),
)
def test_only_data_and_backend_import_a_backend(path):
    for node in ast.walk(ast.parse(path.read_text())):
        names = []
        if isinstance(node, ast.Import):
            names = [a.name for a in node.names]
        elif isinstance(node, ast.ImportFrom):
            names = [node.module or ""]
        heads = {name.split(".")[0] for name in names}
        assert not heads & {"tensorflow", "jax", "pickle"}, path


def test_light_imports_load_no_keras():
    # tests/packaging/test_bare.py shows what layers and adapters do without.
    modules = "kphotoz, kphotoz_cli.main, kphotoz.metrics, kphotoz.tables"
    code = f"import sys, {modules}; print('keras' in sys.modules)"
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert found.stdout.strip() == "False", found.stderr
