"""The architecture, enforced by reading imports: who may know whom, and one home per library."""

import ast
import subprocess
import sys
from collections.abc import Iterator
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

import pytest

from shared.imports import imports as imports_of

ROOT = Path(__file__).resolve().parents[2]

HOMES = {
    "google.cloud.storage": {"shared/store.py"},
    "mlflow": {f"functions/train/tracking/mlflow_{name}.py" for name in ("runs", "registry", "schemas")},
    "google.cloud.dataflow_v1beta3": {"functions/batch/dataflow.py"},
    "google.cloud.bigquery": {"functions/train/data/bigquery.py"},
    "distributed": {"functions/train/search/remote.py"},
    "evidently": {"infra/evidently/report.py"},
    "apache_beam": {"functions/batch/pipeline.py"},
    "onnxruntime": {"shared/model_runtime.py"},
    "xgboost": {"functions/train/search/zoo.py", "functions/train/search/fits.py", "functions/train/graph/export.py"},
    "catboost": {"functions/train/search/zoo.py", "functions/train/graph/export.py"},
    "functions_framework": {f"functions/{name}/main.py" for name in ("train", "validate", "predict", "batch", "watch")},
}


def sources(folder: str) -> list[Path]:
    return sorted((ROOT / folder).rglob("*.py"))


def imports(path: Path) -> tuple[str, ...]:
    """Every imported module of a file, `from a import b` counted as a and a.b, at any depth of the code."""
    return imports_of(path.read_text(encoding="utf-8"))


def is_below(module: str, package: str) -> bool:
    return module == package or module.startswith(f"{package}.")


def name(path: Path) -> str:
    return path.relative_to(ROOT).as_posix()


def test_imports_are_absolute() -> None:
    """Those work in every bundle, in the containers and here alike."""
    relative = [
        name(path)
        for folder in ("shared", "functions", "infra")
        for path in sources(folder)
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if isinstance(node, ast.ImportFrom) and node.level
    ]
    assert relative == []


def test_no_files_import_each_other_in_a_circle() -> None:
    """Nor by an import inside a function, which hides a circle and does not undo it."""
    assert circle(ROOT, ["shared", "functions", "infra"]) == []


def test_a_circle_is_found(tmp_path: Path) -> None:
    for file, text in (
        ("shared/a.py", "def late():\n    from shared.b import two\n    return two\n"),
        ("shared/b.py", "import shared.c\ntwo = 2\n"),
        ("shared/c.py", "from shared import a\n"),
    ):
        (tmp_path / file).parent.mkdir(exist_ok=True)
        (tmp_path / file).write_text(text)
    assert sorted(set(circle(tmp_path, ["shared"]))) == ["shared.a", "shared.b", "shared.c"]


def circle(root: Path, folders: list[str]) -> list[str]:
    """Modules of which each imports the one before it, the first one being the last too; none without a circle."""
    paths = [path for folder in folders for path in sorted((root / folder).rglob("*.py"))]
    modules = {".".join(path.relative_to(root).with_suffix("").parts).removesuffix(".__init__"): path for path in paths}
    assert modules
    graph = {module: set(imports(path)) & set(modules) - {module} for module, path in modules.items()}
    try:
        TopologicalSorter(graph).prepare()
    except CycleError as error:
        return list(error.args[1])
    return []


def test_shared_imports_no_function_and_no_infrastructure() -> None:
    found = [(name(path), module) for path in sources("shared") for module in imports(path)]
    assert found
    assert [hit for hit in found if is_below(hit[1], "functions") or is_below(hit[1], "infra")] == []


@pytest.mark.parametrize("function", ["train", "validate", "predict", "batch", "watch"])
def test_a_function_imports_no_other_function(function: str) -> None:
    found = [(name(path), module) for path in sources(f"functions/{function}") for module in imports(path)]
    assert found
    others = [f"functions.{other}" for other in ("train", "validate", "predict", "batch", "watch") if other != function]
    strangers = [hit for hit in found if any(is_below(hit[1], package) for package in [*others, "infra", "tests"])]
    assert strangers == []


def test_operators_commands_need_nothing_of_the_local_cloud_which_is_built_on_them() -> None:
    found = [(name(path), module) for path in sources("infra/operate") for module in imports(path)]
    assert found
    assert [hit for hit in found if is_below(hit[1], "infra.local")] == []


@pytest.mark.parametrize("library", sorted(HOMES))
def test_a_library_has_one_home(library: str) -> None:
    users = {
        name(path)
        for folder in ("shared", "functions", "infra")
        for path in sources(folder)
        if any(is_below(module, library) for module in imports(path))
    }
    assert users <= HOMES[library]


OURS = ("functions", "shared", "infra", "tests")


DOCUMENTED = {"_replace", "_asdict", "_fields", "_exit", "_http"}
"""Public all the same: of named tuples, `os._exit`, and the session of a storage client, as its maintainers say
(https://github.com/googleapis/python-storage/issues/253)."""


def is_private(name: str) -> bool:
    return name.startswith("_") and not name.startswith("__")


def private_parts(path: Path) -> Iterator[str]:
    """What a file takes from other people's packages that is not theirs to promise: private modules, names, attributes.

    A private attribute is ours on `self`, `cls` and the file's own classes, and where the file defines it;
    a private method is ours where its class has no base of somebody else, or calls it.
    """
    tree = ast.parse(path.read_text(encoding="utf-8"))
    for module in imports(path):
        if module.split(".")[0] not in (*OURS, "__future__") and any(map(is_private, module.split("."))):
            yield module
    classes = [node for node in ast.walk(tree) if isinstance(node, ast.ClassDef)]
    functions = {node for node in ast.walk(tree) if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)}
    ours = {node.name for node in classes} | {"self", "cls"}
    stored = {
        n.attr
        for n in ast.walk(tree)
        if isinstance(n, ast.Attribute) and isinstance(n.ctx, ast.Store) and owner(n) in ours
    }
    defined = {node.name for node in functions} | stored | DOCUMENTED
    attributes = [node for node in ast.walk(tree) if isinstance(node, ast.Attribute) and is_private(node.attr)]
    for node in attributes:
        if owner(node) not in ours and (node.attr not in defined or isinstance(node.ctx, ast.Store)):
            yield f".{node.attr}"
    for call in ast.walk(tree):
        if isinstance(call, ast.Call) and isinstance(call.func, ast.Name) and call.func.id in ("getattr", "setattr"):
            named = [part.value for part in call.args if isinstance(part, ast.Constant)]
            yield from (f".{part}" for part in named if isinstance(part, str) and is_private(part))
    for kind in classes:
        if {ast.unparse(base).split("[")[0] for base in kind.bases} <= ours | {"Protocol", "object"}:
            continue
        called = {node.attr for node in ast.walk(kind) if isinstance(node, ast.Attribute) and owner(node) in ours}
        methods = {node.name for node in kind.body if isinstance(node, ast.FunctionDef) and is_private(node.name)}
        yield from (f"{kind.name}.{method}" for method in methods - called)


def owner(node: ast.Attribute) -> str:
    return node.value.id if isinstance(node.value, ast.Name) else ""


@pytest.mark.parametrize("folder", ["shared", "functions", "infra"])
def test_no_private_part_of_another_library_is_used(folder: str) -> None:
    """The next release may rename them, and a search would take the error for that of a candidate."""
    found = {name(path): list(private_parts(path)) for path in sources(folder)}
    assert {file: parts for file, parts in found.items() if parts} == {}


@pytest.mark.parametrize(
    "code",
    [
        "from sklearn.tree._tree import Tree",
        "import sklearn.tree._tree",
        "from xgboost.core import _LIB",
        "def f(model):\n    return model._get_median_predict(1)",
        "class Quick(Booster):\n    def _assign_features(self): ...",
        "def f(model):\n    model._Booster = None",
        "def f(model):\n    return getattr(model, '_get_median_predict')",
        "class Ours:\n    def __init__(self, model):\n        model._raw = model",
    ],
)
def test_a_private_part_is_found(code: str, tmp_path: Path) -> None:
    path = tmp_path / "file.py"
    path.write_text(code)
    assert len(list(private_parts(path))) >= 1


def test_only_entry_points_read_the_environment_and_configure_logging() -> None:
    allowed = {*HOMES["functions_framework"], "functions/train/job.py"}
    users = {
        name(path)
        for folder in ("shared", "functions")
        for path in sources(folder)
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if isinstance(node, ast.Attribute) and node.attr in ("environ", "getenv", "basicConfig", "dictConfig")
    }
    assert users <= allowed


def reached(path: Path) -> set[str]:
    """Every file of ours that `path` imports, directly or through others, and the files of the packages around them."""
    found: set[str] = set()
    waiting = [path]
    while waiting:
        for module in imports(waiting.pop()):
            parts = module.split(".") if module.split(".")[0] in OURS else []
            for depth in range(1, len(parts) + 1):
                place = ROOT.joinpath(*parts[:depth])
                for file in (place.with_suffix(".py"), place / "__init__.py"):
                    if file.is_file() and name(file) not in found:
                        found.add(name(file))
                        waiting.append(file)
    return found


@pytest.mark.parametrize("function", ["validate", "predict", "batch"])
def test_a_light_function_never_imports_the_reading_of_tables(function: str) -> None:
    """Not in any file, at any depth: `shared/tables` needs pandas, and is not in the image of serving."""
    found = {name(path): reached(path) for path in sources(f"functions/{function}")}
    assert "shared/documents.py" in found[f"functions/{function}/main.py"], "imports were not followed"
    assert {file: tables for file, names in found.items() if (tables := below_tables(names))} == {}


def below_tables(files: set[str]) -> list[str]:
    return sorted(file for file in files if file.startswith("shared/tables/"))


def test_an_import_through_another_file_is_found(tmp_path: Path) -> None:
    path = tmp_path / "file.py"
    path.write_text("def late():\n    from functions.train import pipeline\n    return pipeline\n")
    assert below_tables(reached(path)) == [name(file) for file in sources("shared/tables")]


@pytest.mark.parametrize("function", ["validate", "predict", "batch"])
def test_a_light_function_starts_without_the_heavy_libraries(function: str) -> None:
    probe = (
        f"import functions.{function}.main, sys; "
        "heavy = ('pandas', 'sklearn', 'xgboost', 'catboost', 'mlflow', 'shared.tables'); "
        "print([m for m in heavy if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", probe], cwd=ROOT, capture_output=True, text=True, check=False)
    assert (done.stdout.strip(), done.returncode) == ("[]", 0), done.stderr


@pytest.mark.parametrize("function", ["train", "validate", "predict", "batch", "watch"])
def test_an_entry_point_starts_no_thread_before_the_server_forks(function: str) -> None:
    """onnxruntime does when it is imported; a worker forked after that hangs or aborts when it ends."""
    probe = f"import functions.{function}.main, sys; print('onnxruntime' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", probe], cwd=ROOT, capture_output=True, text=True, check=False)
    assert (done.stdout.strip(), done.returncode) == ("False", 0), done.stderr


def test_serving_does_not_search_for_garbage_while_it_imports() -> None:
    probe = (
        "import gc, functions_framework.aio\n"
        "before = gc.get_stats()\n"
        "import functions.predict.main\n"
        "print(sum(a['collections'] - b['collections'] for a, b in zip(gc.get_stats(), before)) < 5)\n"
        "print(gc.isenabled(), gc.get_freeze_count() > 10_000)\n"
    )
    done = subprocess.run([sys.executable, "-c", probe], cwd=ROOT, capture_output=True, text=True, check=False)
    assert (done.stdout.splitlines(), done.returncode) == (["True", "True True"], 0), done.stderr


@pytest.mark.parametrize("function", ["train", "validate", "predict", "batch", "watch"])
def test_importing_an_entry_point_does_no_io(function: str) -> None:
    probe = (
        "import sys, functions_framework, functions_framework.aio\n"
        "def audit(event, args):\n"
        "    writes = event == 'open' and isinstance(args[1], str) and set(args[1]) & set('wax+')\n"
        "    if event in ('socket.connect', 'subprocess.Popen') or writes: print(event, args[0])\n"
        "sys.addaudithook(audit)\n"
        f"import functions.{function}.main\n"
    )
    environment = {"PATH": "/usr/bin:/bin", "PYTHONDONTWRITEBYTECODE": "1"}
    done = subprocess.run(
        [sys.executable, "-c", probe], cwd=ROOT, capture_output=True, text=True, check=False, env=environment
    )
    assert (done.stdout.strip(), done.returncode) == ("", 0), done.stderr


@pytest.mark.parametrize("folder", ["functions", "infra"])
def test_a_command_prepares_the_terminal_first(folder: str) -> None:
    """Else it ends with a traceback where the terminal is ASCII: see shared/terminal.py."""
    unprepared = []
    for path in sources(folder):
        for node in ast.parse(path.read_text(encoding="utf-8")).body:
            if isinstance(node, ast.If) and ast.unparse(node.test) == "__name__ == '__main__'":
                unprepared += [path.name] if ast.unparse(node.body[0]) != "terminal.prepare()" else []
    assert unprepared == []
