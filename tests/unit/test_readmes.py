"""What is written for people: links lead somewhere, and commands exist and read the variables that they are given."""

import re
import subprocess
from pathlib import Path

import pytest

from functions.train import spec_reference

ROOT = Path(__file__).resolve().parents[2]
IGNORED = {".venv", ".git", ".local", ".cache", "build"}
DOCUMENTS = sorted(path for path in ROOT.rglob("*.md") if not IGNORED & set(path.relative_to(ROOT).parts))
NAMES = [path.relative_to(ROOT).as_posix() for path in DOCUMENTS]
LINK = re.compile(r"\[[^\]]+\]\(([^)\s]+)\)")
BLOCK = re.compile(r"^```sh\n(.*?)^```", re.MULTILINE | re.DOTALL)
MAKE = re.compile(r"(?:^|(?<=[`;&|]))\s*(?:[A-Z_]+=\S+ +)*make +([a-z-]+)((?: +[A-Z_]+=[^\s`]+)*)", re.MULTILINE)
INLINE = re.compile(r"(?<!`)`[^`\n]+`(?!`)")
PLACE = re.compile(r"`((?:functions|shared|infra|tests)/[\w./-]*)`")
MODULE = re.compile(r"python3? -m ((?:functions|shared|infra|tests)\.[\w.]+)")


def text(name: str) -> str:
    return (ROOT / name).read_text(encoding="utf-8")


def anchors(path: Path) -> set[str]:
    titles = re.findall(r"^#+ (.*)$", path.read_text(encoding="utf-8"), re.MULTILINE)
    return {re.sub(r"[^\w -]", "", title.lower()).replace(" ", "-") for title in titles}


def recipes() -> dict[str, str]:
    """What each target of the Makefile does, the variables that it is given among it."""
    found = re.findall(r"^([a-z-]+):(?!=).*\n((?:\t.*\n|\n(?=\t))*)", text("Makefile"), re.MULTILINE)
    shared = "\n".join(re.findall(r"^[A-Z_]+ *:?= .*(?:\\\n.*)*", text("Makefile"), re.MULTILINE))
    return {target: body + shared for target, body in found}


def test_there_is_one_for_each_who_reads() -> None:
    folders = {"functions/train", "functions/validate", "functions/predict", "infra", "infra/local", "tests"}
    assert {"README.md", *(f"{folder}/README.md" for folder in folders)} <= set(NAMES)


def test_the_first_one_is_read_in_five_minutes() -> None:
    assert len(text("README.md").splitlines()) <= 150


@pytest.mark.parametrize("name", NAMES)
def test_every_link_leads_somewhere(name: str) -> None:
    broken = []
    for target in LINK.findall(text(name)):
        if "://" in target:
            continue
        path, _, anchor = target.partition("#")
        found = (ROOT / name).parent / path if path else ROOT / name
        if not found.exists() or (anchor and anchor not in anchors(found)):
            broken.append(target)
    assert broken == []


@pytest.mark.parametrize("name", NAMES)
def test_every_make_command_exists_and_reads_the_variables_that_it_is_given(name: str) -> None:
    assert wrong_commands(text(name)) == []


def wrong_commands(written: str) -> list[str]:
    """The make commands and the modules in `written` that this project does not have, with the variables unread."""
    known, makefile = recipes(), text("Makefile")
    wrong = []
    for piece in [*BLOCK.findall(written), *INLINE.findall(written)]:
        for target, given in MAKE.findall(piece):
            if target not in known:
                wrong.append(f"make {target}")
                continue
            for variable in re.findall(r"([A-Z_]+)=", given):
                inherited = variable.endswith("_PORT") or variable in ("BUCKET", "PYTHON")
                read = f"$({variable})" in known[target] or f"$(call on,{variable})" in known[target]
                if not read and not (inherited and variable in makefile):
                    wrong.append(f"make {target} {variable}=")
        for module in MODULE.findall(piece):
            place = ROOT / module.replace(".", "/")
            if not place.with_suffix(".py").exists() and not (place / "__main__.py").exists():
                wrong.append(module)
    return wrong


@pytest.mark.parametrize(
    ("written", "wrong"),
    [
        ("`make nowhere`", "make nowhere"),
        ("```sh\nNAME=x make nowhere A=1\n```", "make nowhere"),
        ("so `make run NOTHING_PORT=1` does", "make run NOTHING_PORT="),
        ("```sh\nmake run DATSET=x\n```", "make run DATSET="),
        ("```sh\n.venv/bin/python -m infra.nowhere --help\n```", "infra.nowhere"),
    ],
)
def test_a_slip_in_a_command_is_found(written: str, wrong: str) -> None:
    assert wrong_commands(written) == [wrong]


@pytest.mark.parametrize("name", NAMES)
def test_every_place_that_is_named_exists(name: str) -> None:
    here = (ROOT / name).parent
    places = PLACE.findall(text(name))
    assert [place for place in places if not (ROOT / place).exists() and not (here / place).exists()] == []


@pytest.mark.parametrize("name", NAMES)
def test_every_shell_block_is_shell(name: str) -> None:
    for block in BLOCK.findall(text(name)):
        without_places = re.sub(r"<\w+>", "x", block)
        done = subprocess.run(["bash", "-n"], input=without_places, capture_output=True, text=True, check=False)
        assert done.returncode == 0, f"{done.stderr}\n{block}"


@pytest.mark.parametrize("name", NAMES)
def test_every_test_that_a_command_runs_exists(name: str) -> None:
    files = [word for block in BLOCK.findall(text(name)) for word in re.findall(r"tests/[\w/.]+", block)]
    assert [file for file in files if not (ROOT / file).exists()] == []


def test_a_slip_in_a_variable_s_name_is_told_with_the_nearest() -> None:
    done = subprocess.run(["make", "run", "DATSET=x"], cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 2
    assert "no target reads DATSET=; did you mean DATASET=?" in done.stderr


@pytest.mark.parametrize("given", ["run ONCE=maybe", "retrain FORCE=on", "lock UPGRADE=please", "destroy DATA=x.csv"])
def test_a_switch_that_is_neither_on_nor_off_is_told(given: str) -> None:
    done = subprocess.run(["make", *given.split()], cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 2
    assert f"{given.split()[1]} is neither on nor off" in done.stderr


def test_a_switch_that_is_given_as_0_is_off_and_the_same_name_may_be_a_file_elsewhere() -> None:
    for given, word in (
        ("history ALL=1", "--all"),
        ("status JSON=yes", "--json"),
        ("init DATA=x.csv TARGET=y", "x.csv"),
    ):
        assert word in dry_run(given)
    for given, word in (
        ("history ALL=0", "--all"),
        ("lock UPGRADE=0", "--upgrade"),
        ("run ONCE=no FULL=false", "--once"),
    ):
        assert word not in dry_run(given)


def dry_run(given: str) -> str:
    """The commands that make would run."""
    done = subprocess.run(["make", "-n", *given.split()], cwd=ROOT, capture_output=True, text=True, check=True)
    return done.stdout


def known_variables() -> set[str]:
    """What make takes for a variable that some target reads."""
    lists = re.findall(r"^KNOWN \+?:?= ((?:.*\\\n)*.*)$", text("Makefile"), re.MULTILINE)
    return {word for words in lists for word in words.split()}


def test_no_variable_that_a_target_reads_is_taken_for_a_slip() -> None:
    makefile = text("Makefile")
    bodies = "".join(re.findall(r"^\t.*\n", makefile, re.MULTILINE))
    read = set(re.findall(r"\$\((?:if \$\(|call on,|call NEEDS,)([A-Z_]+)", bodies))
    assert {"DATASET", "STOP", "MODE"} <= read
    assert read - known_variables() == set()


def test_no_variable_that_people_are_told_of_is_taken_for_a_slip() -> None:
    """Some reach a command by its environment alone, so that no target names them: who asks, and why."""
    told = {word for span in INLINE.findall(text("README.md")) for word in re.findall(r"\b([A-Z]+)=", span)}
    assert {"BY", "WHY"} <= told
    assert told - known_variables() == set()


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ("check-data", "usage: make check-data "),
        ("train", "usage: make train "),
        ("smoke", "usage: make smoke "),
        ("sbom", "usage: make sbom "),
        ("label", "usage: make label "),
        ("batch", "usage: make batch "),
        ("init DATA=nowhere.csv TARGET=price", "make init: there is no file DATA='nowhere.csv'"),
        ("init DATA=folder TARGET=price", "make init: DATA='folder' is a folder"),
        ("check-data DATASET=nowhere.toml", "make check-data: there is no file DATASET='nowhere.toml'"),
        ("check-data DATASET=folder", "make check-data: DATASET='folder' is a folder"),
        ("train DATASET=nowhere.toml OUT=x", "make train: there is no file DATASET='nowhere.toml'"),
        ("run DATASET=nowhere.toml", "make run: there is no file DATASET='nowhere.toml'"),
        ("label FILE=nowhere.csv", "make label: there is no file FILE='nowhere.csv'"),
        ("batch FILE=nowhere.csv", "make batch: there is no file FILE='nowhere.csv'"),
        ("sql FILE=nowhere.sql", "make sql: there is no file FILE='nowhere.sql'"),
        ("deploy PROJECT=p REGION=r DATASET=nowhere.toml", "make deploy: there is no file DATASET='nowhere.toml'"),
    ],
)
def test_what_is_lacking_is_said_before_anything_is_installed(given: str, said: str, tmp_path: Path) -> None:
    (tmp_path / "Makefile").write_text(text("Makefile"))
    (tmp_path / "folder").mkdir()
    done = subprocess.run(["make", *given.split()], cwd=tmp_path, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr.startswith(said)) == (2, True), done.stderr
    assert {path.name for path in tmp_path.iterdir()} == {"Makefile", "folder"}


MODULES = [
    path
    for folder in ("functions", "shared", "infra", "tests")
    for path in sorted((ROOT / folder).rglob("*"))
    if path.suffix in {".py", ".tf", ".toml", ".yaml", ".html", ".js", ".sql"} and path != Path(__file__)
]


def test_every_make_command_that_the_code_names_in_quotes_is_one() -> None:
    """Docstrings, error messages and pages tell people what to run."""
    named = re.compile(r"`make ([a-z]+(?:-[a-z]+)*)[` ]")
    wrong = {
        f"{path.relative_to(ROOT)}: make {target}"
        for path in MODULES
        for target in named.findall(path.read_text(encoding="utf-8"))
        if target not in recipes()
    }
    assert wrong == set()


def test_the_menu_names_every_target_within_eighty_columns() -> None:
    done = subprocess.run(["make"], cwd=ROOT, capture_output=True, text=True, check=True)
    assert [line for line in done.stdout.splitlines() if len(line) > 80] == []
    assert text("Makefile").isascii(), "what make itself prints reaches terminals as it stands"
    targets = set(re.findall(r"^([a-z-]+):.*##", text("Makefile"), re.MULTILINE))
    assert targets == set(re.findall(r"^  make ([a-z-]+)", done.stdout, re.MULTILINE))


def test_the_keys_of_the_spec_stand_in_the_readme_of_training_as_the_types_have_them() -> None:
    readme = (ROOT / "functions" / "train" / "README.md").read_text()
    table = readme.split(spec_reference.BEGIN)[1].split(spec_reference.END)[0]
    assert table.strip() == spec_reference.reference(), "run: .venv/bin/python -m functions.train.spec_reference"
