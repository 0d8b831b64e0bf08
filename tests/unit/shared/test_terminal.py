"""Every command speaks on every terminal: no traceback where the encoding is ASCII, and what is said can be read."""

import json
import os
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from shared.terminal import spelled

ROOT = Path(__file__).resolve().parents[3]
ASCII = {"LC_ALL": "C", "PYTHONIOENCODING": "ascii", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"}
COMMANDS = sorted(
    path.relative_to(ROOT).with_suffix("").as_posix().replace("/", ".").removesuffix(".__main__")
    for folder in ("functions", "infra", "tests/smoke")
    for path in (ROOT / folder).rglob("*.py")
    if '__name__ == "__main__"' in path.read_text(encoding="utf-8")
)
WITHOUT_OPTIONS = {
    "functions.batch.pipeline",  # needs Apache Beam, which has an environment of its own
    "functions.train.job",  # its settings are in the environment
    "functions.train.spec_reference",
    "functions.train.tracking.mlflow_process",
    "tests.smoke",
}


def run(*arguments: str, folder: Path = ROOT) -> "subprocess.CompletedProcess[bytes]":
    environment = {**os.environ, **ASCII, "PYTHONPATH": str(ROOT), "COLUMNS": "200"}
    command = [sys.executable, *arguments]
    return subprocess.run(command, cwd=folder, env=environment, capture_output=True, timeout=300, check=False)


def test_every_command_helps_in_ascii() -> None:
    asked = [module for module in COMMANDS if module not in WITHOUT_OPTIONS]
    with ThreadPoolExecutor(4) as pool:
        answers = list(pool.map(lambda module: run("-m", module, "--help"), asked))
    assert len(asked) > 15
    for module, answer in zip(asked, answers, strict=True):
        assert (answer.returncode, answer.stderr) == (0, b""), (module, answer.stderr.decode())
        assert answer.stdout.decode("ascii").startswith("usage: ")


@pytest.mark.parametrize("encoding", ["ascii", "latin-1", "utf-8"])
def test_what_an_encoding_lacks_is_spelled_out(encoding: str) -> None:
    said = "R² 0.5 ± 0.1 – Zoë → 5 µs, 3 € … ☃"
    program = (
        f"import sys; from shared import terminal; terminal.prepare(); print({said!r}); sys.stderr.write({said!r})"
    )
    environment = {**os.environ, "PYTHONIOENCODING": encoding, "PYTHONPATH": str(ROOT)}
    command = [sys.executable, "-c", program]
    answer = subprocess.run(command, env=environment, capture_output=True, check=True)
    expected = {
        "ascii": "R2 0.5 +- 0.1 - Zoe -> 5 us, 3 EUR ... ?",
        "latin-1": "R² 0.5 ± 0.1 - Zoë -> 5 µs, 3 EUR ... ?",
        "utf-8": said,
    }[encoding]
    assert answer.stdout.decode(encoding).strip() == answer.stderr.decode(encoding).strip() == expected


def test_the_frame_of_a_table_stays_one() -> None:
    """DuckDB and rich draw tables with these characters."""
    frame = "┌───┬───┐\n│ a │ b │\n├───┼───┤\n└───┴───┘ ╭━╮ ┃═║╷╴"
    answer = run("-c", f"from shared import terminal; terminal.prepare(); print({frame!a})")
    assert answer.stdout.decode("ascii").splitlines() == ["+---+---+", "| a | b |", "+---+---+", "+---+---+ +-+ |-||-"]


@pytest.mark.parametrize("encoding", ["ascii", "latin-1", "utf-8"])
def test_json_that_is_printed_says_the_same_in_every_encoding(encoding: str) -> None:
    """Spelled, a category would be another one, and the command that holds it would be refused."""
    said = {"town": "Köln → ☃", "r²": 1}
    program = f"from shared import terminal; terminal.prepare(); print(terminal.json_text({said!a}))"
    environment = {**os.environ, "PYTHONIOENCODING": encoding, "PYTHONPATH": str(ROOT)}
    answer = subprocess.run([sys.executable, "-c", program], env=environment, capture_output=True, check=True)
    assert json.loads(answer.stdout.decode(encoding)) == said


def test_a_line_of_a_log_is_json_in_every_encoding() -> None:
    """`make run` follows the functions by their logs; with a line that is none it would wait for what is over."""
    said = "trained: CV R² 0.5 – Köln → ☃"
    program = f"from shared import logs; logs.configure('train'); logs.info({said!a}, run_id={said!a})"
    line = json.loads(run("-c", program).stderr.decode("ascii"))
    assert (line["message"], line["run_id"]) == (said, said)


def test_other_faults_of_text_stay_faults() -> None:
    with pytest.raises(UnicodeDecodeError):
        spelled(UnicodeDecodeError("utf-8", b"\xff", 0, 1, "no start"))


@pytest.mark.timeout(600)
def test_training_at_a_desk_ends_well_in_ascii(tmp_path: Path) -> None:
    """It once ended with a traceback after the candidate was written, at the R² of the leaderboard."""
    rows = [f"{i // 2},{'xyz'[i % 3]},2024-01-{1 + i % 28:02d},{i * 0.5}" for i in range(80)]
    (tmp_path / "t.csv").write_text("\n".join(["größe,b,day,y", *rows]), encoding="utf-8")
    spec = 'name = "n"\nsource = "t.csv"\ntarget = "y"\n[tuning]\nfolds = 2\nrandom_iterations = 1\n'
    (tmp_path / "dataset.toml").write_text(spec + '[algorithms]\nonly = ["Ridge"]\n', encoding="utf-8")
    checked = run("-m", "functions.train.desk", "check", "dataset.toml", folder=tmp_path)
    assert (checked.returncode, checked.stderr) == (0, b""), checked.stderr.decode()
    assert "grosse" in checked.stdout.decode("ascii")
    answer = run("-m", "functions.train.desk", "train", "dataset.toml", "out", "--jobs", "1", folder=tmp_path)
    assert answer.returncode == 0, answer.stderr.decode()
    assert b"Traceback" not in answer.stderr
    assert "CV R2" in answer.stdout.decode("ascii")
    assert (tmp_path / "out" / "manifest.json").exists()
