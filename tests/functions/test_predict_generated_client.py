"""Clients that openapi-python-client and openapi-typescript generated work against the running function, before and
after a retraining."""

import importlib
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import httpx
import pytest
from msgspec.structs import replace

from shared.store import CloudStore
from tests.functions.test_predict_function import (
    PATIENCE,
    ROOT,
    Function,
    changing,
    eventually,
    function,
    storage,
    store,
)
from tests.tools import require
from tests.unit.predict.promoted import FEATURES, FIRST, ROW, SECOND, promote

__all__ = ["changing", "function", "storage", "store"]

CLIENTS = ROOT / "tests" / "clients"
NODE = "install Debian's packages nodejs and npm"


def generate(function: Function, folder: Path) -> str:
    """Generate the client into `folder`; what the generator said."""
    document = folder.with_suffix(".json")
    document.write_text(function.get("/v1/openapi.json").text, encoding="utf-8")
    command = [sys.executable, "-m", "openapi_python_client", "generate", "--meta", "none"]
    done = subprocess.run(
        [*command, "--path", str(document), "--output-path", str(folder)],
        capture_output=True,
        text=True,
        timeout=PATIENCE,
        check=True,
        env={**os.environ, "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"},  # it calls ruff
    )
    return done.stdout + done.stderr


def sources(folder: Path) -> dict[str, str]:
    return {path.relative_to(folder).as_posix(): path.read_text(encoding="utf-8") for path in folder.rglob("*.py")}


def asked(package: str, function: Function, row: dict[str, Any]) -> Any:
    client = importlib.import_module(f"{package}.client").Client(base_url=f"{function.url}/v1")
    models = importlib.import_module(f"{package}.models")
    with client:
        call = importlib.import_module(f"{package}.api.default.predict")
        return call.sync(client=client, body=models.Row.from_dict(row))


def test_a_generated_client_works_before_and_after_a_retraining(
    changing: Function, store: CloudStore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.syspath_prepend(tmp_path)
    assert "warning" not in generate(changing, tmp_path / "generated_first").lower()
    answer = asked("generated_first", changing, dict(ROW))
    assert (answer.prediction, answer.model.run_id) == (66.0, FIRST)

    features = tuple(replace(f, categories=(*f.categories, "new")) if f.categories else f for f in FEATURES)
    promote(store, run_id=SECOND, base=70.0, features=features)
    eventually(lambda: changing.predict().json()["model"]["run_id"] == SECOND)
    answer = asked("generated_first", changing, {**ROW, "gender": "female"})
    assert (answer.prediction, answer.model.run_id) == (71.0, SECOND)
    assert "warning" not in generate(changing, tmp_path / "generated_second").lower()
    assert sources(tmp_path / "generated_first") == sources(tmp_path / "generated_second")


def test_a_generated_client_parses_errors(function: Function, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(tmp_path)
    generate(function, tmp_path / "generated_third")
    problem = asked("generated_third", function, {**ROW, "gender": "x", "age": 99})
    gender, age = sorted(problem.errors, key=lambda entry: str(entry.pointer), reverse=True)
    assert (problem.status, gender.code, gender.allowed) == (422, "unknown_category", ["female", "male"])
    assert (age.pointer, age.allowed.to_dict()) == ("/age", {"min": 5.0, "max": 25.0})


@pytest.mark.parametrize("path", ["/health", "/ready", "/schema", "/meta"])
def test_the_contract_s_paths_answer_as_today_s(function: Function, path: str) -> None:
    function.get("/ready")
    assert function.get(f"/v1{path}").json().keys() == function.get(path).json().keys()
    today = httpx.post(f"{function.url}/predict", json=dict(ROW), timeout=PATIENCE)
    assert httpx.post(f"{function.url}/v1/predict", json=dict(ROW), timeout=PATIENCE).json() == today.json()


def test_a_table_may_be_sent_as_bytes(function: Function) -> None:
    table = f"{','.join(ROW)}\n{','.join(map(str, ROW.values()))}\n"
    answer = httpx.post(
        f"{function.url}/v1/predict_batch",
        content=table,
        headers={"Content-Type": "application/octet-stream"},
        timeout=PATIENCE,
    )
    assert [entry["prediction"] for entry in answer.json()["predictions"]] == [66.0]


class TypeScript:
    """openapi-typescript, openapi-fetch and the compiler, at the versions of tests/clients/package-lock.json."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._node = require("node", source=NODE)
        for name in ("package.json", "package-lock.json", "tsconfig.json", "client.ts"):
            shutil.copy(CLIENTS / name, folder)
        self._run(require("npm", source=NODE), "ci", "--ignore-scripts", "--prefer-offline", "--no-audit", "--no-fund")

    def generate(self, function: Function) -> str:
        """Write the types and compile the program against them; what the two said."""
        (self._folder / "openapi.json").write_text(function.get("/v1/openapi.json").text, encoding="utf-8")
        said = self._module("openapi-typescript/bin/cli.js", "openapi.json", "--output", "schema.d.ts")
        return said + self._module("typescript/bin/tsc", "--project", ".")

    def types(self) -> str:
        return (self._folder / "schema.d.ts").read_text(encoding="utf-8")

    def asked(self, function: Function, row: dict[str, Any]) -> Any:
        """What the compiled program has read from the answers."""
        return json.loads(self._run(self._node, "client.js", f"{function.url}/v1", json.dumps(row)))

    def _module(self, script: str, *arguments: str) -> str:
        return self._run(self._node, f"node_modules/{script}", *arguments)

    def _run(self, *command: str) -> str:
        done = subprocess.run(
            command, cwd=self._folder, capture_output=True, text=True, timeout=3 * PATIENCE, check=False
        )
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout + done.stderr


def test_a_typescript_program_works_before_and_after_a_retraining(
    changing: Function, store: CloudStore, tmp_path: Path
) -> None:
    program = TypeScript(tmp_path)
    assert "warn" not in program.generate(changing).lower()
    types = program.types()
    problems = [
        {"pointer": "/gender", "code": "unknown_category", "allowed": ["female", "male"]},
        {"pointer": "/age", "code": "out_of_range", "allowed": {"min": 5, "max": 25}},
    ]
    answer = {"run": FIRST, "prediction": 66, "low": 44, "rows": [66, ["unknown_category", "out_of_range"]]}
    assert program.asked(changing, dict(ROW)) == {**answer, "problems": problems}

    features = tuple(replace(f, categories=(*f.categories, "new")) if f.categories else f for f in FEATURES)
    promote(store, run_id=SECOND, base=70.0, features=features)
    eventually(lambda: changing.predict().json()["model"]["run_id"] == SECOND)
    found = program.asked(changing, dict(ROW))
    assert (found["run"], found["prediction"]) == (SECOND, 76)
    assert "warn" not in program.generate(changing).lower()
    assert program.types() == types
