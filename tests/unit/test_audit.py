"""What `make audit` makes of pip-audit's reports, in the form in which pip-audit writes them.

https://github.com/pypa/pip-audit#readme, "JSON", and pip_audit/_format/json.py.
"""

from datetime import date
from pathlib import Path

import pytest

from infra.audit import advisories
from infra.audit.advisories import NotAsked, accepted, holes, open_holes

TODAY = date(2026, 11, 28)
MENDED = {
    "name": "flask",
    "version": "0.5",
    "vulns": [
        {
            "id": "PYSEC-2019-179",
            "fix_versions": ["1.0"],
            "aliases": ["CVE-2019-1010083", "GHSA-5wv5-4vpf-pj6m"],
            "description": "…",
        },
        {"id": "PYSEC-2099-1", "fix_versions": [], "aliases": [], "description": "…"},
    ],
}
SOUND = {"name": "jinja2", "version": "3.0.2", "vulns": []}
ACCEPTED = """
[[accepted]]
id = "CVE-2019-1010083"
reason = "no JSON is read from strangers"
until = {until}
"""


def report(*dependencies: object) -> dict[str, object]:
    return {"dependencies": list(dependencies), "fixes": []}


def test_a_hole_that_a_version_mends_has_to_be_mended_and_one_that_none_mends_is_told() -> None:
    found = holes(report(MENDED, SOUND))
    assert [str(hole) for hole in found] == [
        "flask 0.5: PYSEC-2019-179, CVE-2019-1010083, GHSA-5wv5-4vpf-pj6m; fixed in 1.0",
        "flask 0.5: PYSEC-2099-1; no version mends it yet",
    ]
    assert open_holes(found, {}, TODAY) == found[:1]


@pytest.mark.parametrize(("until", "left"), [("2026-11-28", 0), ("2026-11-27", 1)])
def test_what_is_accepted_is_accepted_until_its_day_by_any_of_its_names(until: str, left: int) -> None:
    known = accepted(ACCEPTED.format(until=until))
    assert len(open_holes(holes(report(MENDED)), known, TODAY)) == left


def test_an_acceptance_needs_a_reason_and_a_day() -> None:
    for text in (
        ACCEPTED.format(until='"soon"'),
        ACCEPTED.format(until="2027-01-31").replace("no JSON is read from strangers", " "),
    ):
        with pytest.raises(ValueError, match="a reason and a day"):
            accepted(text)


def test_an_index_that_knows_no_package_is_not_taken_for_one_that_knows_no_hole() -> None:
    strange = {"name": "numpy", "skip_reason": "Dependency not found on PyPI and could not be audited: numpy (2.4.0)"}
    with pytest.raises(NotAsked, match="knows nothing of 1 packages: numpy"):
        holes(report(SOUND, strange))


def test_every_lock_of_what_is_deployed_is_asked_about_and_the_acceptances_can_be_read() -> None:
    names = {path.relative_to(advisories.ROOT).as_posix() for path in advisories.locks()}
    assert names >= {f"functions/{fn}/requirements.txt" for fn in ("train", "validate", "predict", "watch", "batch")}
    assert names >= {"functions/batch/flex/requirements.txt", "infra/local/requirements.txt"}
    accepted(advisories.ACCEPTED.read_text(encoding="utf-8"))


@pytest.mark.parametrize(
    "text",
    [
        "accepted = 1",
        "accepted = [1]",
        "[[accept]]\nid = 'x'",
        "[[accepted]]\nid = 'x'",
        ACCEPTED.format(until="2027-01-31T00:00:00"),
        ACCEPTED.format(until="2027-01-31") + "why = 'x'",
        ACCEPTED.format(until="2027-01-31").replace('"CVE-2019-1010083"', "1"),
        "[[accepted",
    ],
)
def test_acceptances_of_another_form_are_told_in_one_line(
    text: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "accepted.toml"
    file.write_text(text, encoding="utf-8")
    monkeypatch.setattr(advisories, "ACCEPTED", file)
    assert advisories.main([]) == 2
    said = capsys.readouterr().err
    assert said.startswith("audit: accepted.toml: ")
    assert said.count("\n") == 1
