"""Which code trains: a digest of its sources and of the libraries that decide what a model is; names a run."""

import ast
import hashlib
import threading
import time
from functools import cache
from pathlib import Path

from functions.train import CODE_VERSION
from functions.train.candidate.manifest import installed_versions
from shared.errors import PermanentError

ROOT = Path(__file__).resolve().parents[2]
STORY = "functions/train/pipeline.py"
OURS = ("functions", "shared")
LOADED_AT = time.time()
_ONE_PARSER = threading.Lock()
"""`ast.parse` in two threads at once raises SystemError in Python 3.11: https://github.com/python/cpython/issues/106905"""


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
    for name, version in sorted(installed_versions().items()):
        found.update(f"\0{name}=={version}".encode())
    return found.hexdigest()


def sources(root: Path) -> list[Path]:
    """The files of ours that the story imports, directly or not, sorted; itself included."""
    found: set[Path] = set()
    waiting = [root / STORY]
    while waiting:
        path = waiting.pop()
        if path not in found and path.is_file():
            found.add(path)
            waiting += [_module(root, name) for name in _imported(path.read_text(encoding="utf-8"))]
    return sorted(found)


@cache
def _imported(source: str) -> tuple[str, ...]:
    """Names of our modules; of `from package import name` also the name, which may be a module too.

    Kept for each text, since every call of a process asks for it: parsing them all takes a second.
    """
    with _ONE_PARSER:
        tree = ast.parse(source)
    found: list[str] = []
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            found.extend(alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module and node.module.split(".")[0] in OURS:
            found.append(node.module)
            found.extend(f"{node.module}.{alias.name}" for alias in node.names)
    return tuple(found)


def _module(root: Path, name: str) -> Path:
    path = root.joinpath(*name.split("."))
    return path / "__init__.py" if path.is_dir() else path.with_suffix(".py")
