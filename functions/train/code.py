"""Which code trains: a digest of its sources and of the libraries that decide what a model is; names a run."""

import hashlib
import time
from contextlib import suppress
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from functions.train import CODE_VERSION
from shared.errors import PermanentError
from shared.imports import imports

ROOT = Path(__file__).resolve().parents[2]
STORY = "functions/train/pipeline.py"
OURS = ("functions", "shared")
LOADED_AT = time.time()
LIBRARIES = ("scikit-learn", "xgboost-cpu", "xgboost", "catboost", "numpy", "pandas", "onnx", "onnxruntime")


class CodeChanged(PermanentError):
    """A source was edited after this process had loaded it: what would train is not what the digest would say."""

    reason = "code_changed"


def code_digest(root: Path = ROOT, loaded_at: float = LOADED_AT) -> str:
    """Hex SHA-256 over the modules that `pipeline` imports, at any depth, and the libraries' versions.

    `loaded_at`: seconds since the epoch. Raises CodeChanged for a source that is newer.
    """
    found = hashlib.sha256(CODE_VERSION.encode())
    for path in sources(root):
        if path.stat().st_mtime > loaded_at:
            name = path.relative_to(root).as_posix()
            raise CodeChanged(
                f"{name} was edited after this process began: start it again, so that the new code trains"
            )
        found.update(f"\0{path.relative_to(root).as_posix()}\0".encode() + path.read_bytes())
    for name, installed in sorted(installed_versions().items()):
        found.update(f"\0{name}=={installed}".encode())
    return found.hexdigest()


def installed_versions() -> dict[str, str]:
    """Versions of the installed libraries that decide what a model predicts. XGBoost comes as one of two packages."""
    found = {}
    for name in LIBRARIES:
        with suppress(PackageNotFoundError):
            found[name] = version(name)
    return found


def sources(root: Path) -> list[Path]:
    """The files of ours that the story imports, directly or not, sorted; itself included."""
    found: set[Path] = set()
    waiting = [root / STORY]
    while waiting:
        path = waiting.pop()
        if path not in found and path.is_file():
            found.add(path)
            names = imports(path.read_text(encoding="utf-8"))
            waiting += [_module(root, name) for name in names if name.split(".")[0] in OURS]
    return sorted(found)


def _module(root: Path, name: str) -> Path:
    path = root.joinpath(*name.split("."))
    return path / "__init__.py" if path.is_dir() else path.with_suffix(".py")
