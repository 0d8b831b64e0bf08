"""`make bundle FN=…`: what one function is deployed from, as a zip whose bytes depend on the sources alone.

In it: the function's folder, `functions/__init__.py`, the modules of `shared` that it imports, and at the root its
requirements.txt and the file that the platform starts with: main.py, or a Dockerfile where the zip is the context of
an image. `training` is train's function as the image of a job, `flex` batch's as that of Dataflow's workers. Nothing is
compressed, since zlib's versions differ in their output: the same sources give the same bytes everywhere, so that
Terraform redeploys new code and leaves unchanged code alone.
"""

import argparse
import hashlib
import os
import shutil
import sys
import zipfile
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from infra.delivery.errors import Stopped, exit_code
from infra.options import OneLineParser
from shared import terminal
from shared.imports import imports

FUNCTIONS = ("train", "validate", "predict", "batch", "watch")
IMAGES = {"predict": "predict", "training": "train", "flex": "batch/flex"}
"""Bundles that an image is built from, each with the folder of its Dockerfile and lock, below that of its function."""
BUNDLES = (*FUNCTIONS, "training", "flex")
FROM_SOURCE = ("train", "validate", "batch", "watch")
"""What Terraform deploys from its bundle."""
ROOT = Path(__file__).resolve().parents[2]
BUILD = ROOT / "build"
SOURCES = frozenset({".py", ".js", ".css", ".html"})
PLACED = frozenset(
    {"requirements.txt", "Dockerfile", "Dockerfile.dockerignore", "README.md", "CONTRACT.md", "template.json"}
)
"""Files that are left out of the function's folder in the bundle: their place is its root, or they have none."""
TOOLS = "infra/audit/sbom.txt"
"""What lists the packages of the image while it is built."""
EPOCH = (1980, 1, 1, 0, 0, 0)
ENTRY = '''\
"""What the platform starts: it looks for the entry in main.py at the root."""

from functions.{fn}.main import {fn}

__all__ = ["{fn}"]
'''


def function_of(name: str) -> str:
    """The function that a bundle is of."""
    return IMAGES.get(name, name).partition("/")[0]


def contents(root: Path, name: str) -> dict[str, bytes]:
    """The bundle's files by their name in it, sorted. Raises Stopped where the folder holds what is no source."""
    fn = function_of(name)
    files = {"functions/__init__.py": (root / "functions" / "__init__.py").read_bytes()}
    for path in _sources(root / "functions" / fn):
        files[path.relative_to(root).as_posix()] = path.read_bytes()
    for path in _shared(root, [file for file in files if file.endswith(".py")]):
        files[path.relative_to(root).as_posix()] = path.read_bytes()
    return dict(sorted({**files, **(_context(root, IMAGES[name]) if name in IMAGES else _entry(root, fn))}.items()))


def write(files: Mapping[str, bytes], target: Path) -> str:
    """Write the zip in one step; its SHA-256. A reader sees the old file or the new one."""
    target.parent.mkdir(parents=True, exist_ok=True)
    part = target.with_suffix(f".{os.getpid()}.part")
    try:
        with zipfile.ZipFile(part, "w", zipfile.ZIP_STORED) as archive:
            for name in sorted(files):
                entry = zipfile.ZipInfo(name, EPOCH)
                entry.create_system = 3  # Unix, wherever it is made
                entry.external_attr = 0o100644 << 16
                archive.writestr(entry, files[name])
        part.replace(target)
    finally:
        part.unlink(missing_ok=True)
    return hashlib.sha256(target.read_bytes()).hexdigest()


def build(name: str) -> str:
    """Writes the checkout's `build/NAME.zip`; its SHA-256. Raises Stopped."""
    return write(contents(ROOT, name), BUILD / f"{name}.zip")


def unpack(bundle: Path, folder: Path) -> None:
    """Lay the files of one of our bundles into `folder`."""
    with zipfile.ZipFile(bundle) as archive:
        archive.extractall(folder)


def _entry(root: Path, fn: str) -> dict[str, bytes]:
    lock = (root / "functions" / fn / "requirements.txt").read_bytes()
    return {"requirements.txt": lock, "main.py": ENTRY.format(fn=fn).encode()}


def _context(root: Path, folder: str) -> dict[str, bytes]:
    """The Dockerfile, and the locks that it copies."""
    dockerfile = (root / "functions" / folder / "Dockerfile").read_bytes()
    locks = [lock for lock in (f"functions/{folder}/requirements.txt", TOOLS) if f"COPY {lock} ".encode() in dockerfile]
    return {"Dockerfile": dockerfile, **{lock: (root / lock).read_bytes() for lock in locks}}


def _sources(folder: Path) -> Iterator[Path]:
    if not folder.is_dir():
        raise Stopped(f"there is no {folder}: run this from a checkout of the project")
    for path in sorted(folder.rglob("*")):
        within = path.relative_to(folder).parts
        hidden = any(part.startswith(".") or part == "__pycache__" for part in within)
        if path.is_dir() or hidden or path.name in PLACED:
            continue
        if path.suffix not in SOURCES:
            known = ", ".join(sorted(SOURCES))
            raise Stopped(
                f"{path} would be left out of the bundle: sources end in {known}, found {path.suffix or 'no ending'!r};"
                " move it away, or name its ending in infra/delivery/bundles.py"
            )
        yield path


def _shared(root: Path, names: Sequence[str]) -> list[Path]:
    """The modules of `shared` that these files import, and those that they import in turn."""
    found: set[Path] = set()
    waiting = [root / name for name in names]
    while waiting:
        for module in imports(waiting.pop().read_text(encoding="utf-8")):
            path = root / Path(*module.split(".")).with_suffix(".py")
            if module.split(".")[0] == "shared" and path not in found and path.is_file():
                found.add(path)
                waiting.append(path)
    faces = {folder / "__init__.py" for path in found for folder in path.parents if root / "shared" in folder.parents}
    return [root / "shared" / "__init__.py", *sorted(found | faces)]


def main(arguments: Sequence[str] | None = None) -> int:
    options = _options(arguments)
    return exit_code("bundle", lambda: _make(options))


def _make(options: argparse.Namespace) -> int:
    for fn in options.functions:
        target = options.out / f"{fn}.zip"
        files = contents(options.root, fn)
        digest = write(files, target)
        if options.unpack:
            folder = options.out / fn
            shutil.rmtree(folder, ignore_errors=True)
            unpack(target, folder)
        print(f"{target}: {len(files)} files, {target.stat().st_size / 1000:,.0f} kB, sha256 {digest}")
    return 0


def _options(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = OneLineParser(prog="bundle", description="Build what a function is deployed from.")
    parser.add_argument("functions", nargs="+", choices=BUNDLES, metavar="FN", help=", ".join(BUNDLES))
    parser.add_argument("--out", type=Path, default=Path("build"), help="folder of the zips (build)")
    parser.add_argument("--unpack", action="store_true", help="lay the files beside the zip too, as OUT/FN")
    parser.add_argument("--root", type=Path, default=ROOT, help="the checkout")
    return parser.parse_args(arguments)


if __name__ == "__main__":
    terminal.prepare()
    sys.exit(main())
