"""The page: its headers, its fixed list of files, and what its source must not hold."""

import re
from html.parser import HTMLParser

import pytest

from functions.predict.wire.page import FILES, FOLDER
from tests.memory_store import MemoryStore
from tests.unit.predict.client import Client
from tests.unit.predict.promoted import promote

PATHS = sorted(FILES)


@pytest.fixture
def client() -> Client:
    return Client(MemoryStore())


class Markup(HTMLParser):
    """The tags of a page with their attributes."""

    def __init__(self) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))


PAGES = ["index.html", "docs.html"]


def markup(name: str = "index.html") -> Markup:
    page = Markup()
    page.feed((FOLDER / name).read_text(encoding="utf-8"))
    return page


def test_the_two_pages_have_the_same_head_but_for_their_title_and_their_script() -> None:
    heads = []
    for name in PAGES:
        head = (FOLDER / name).read_text(encoding="utf-8").partition("</head>")[0]
        heads.append(re.sub(r"<title>\w+</title>|src=\"\w+\.js\"", "", head))
    assert "style.css" in heads[0]
    assert heads[0] == heads[1]


@pytest.mark.parametrize("path", PATHS)
def test_the_page_is_there_before_any_model_is_and_lets_nothing_foreign_in(client: Client, path: str) -> None:
    answer = client.get(path)
    assert answer.status_code == 200
    policy = dict(part.split(" ", 1) for part in answer.headers["content-security-policy"].split("; "))
    assert policy == {
        "default-src": "'none'",
        "script-src": "'self'",
        "style-src": "'self'",
        "connect-src": "'self'",
        "img-src": "'self' data:",
        "form-action": "'none'",
        "base-uri": "'none'",
        "frame-ancestors": "'none'",
    }
    assert (answer.headers["referrer-policy"], answer.headers["x-content-type-options"]) == ("no-referrer", "nosniff")


def test_each_file_has_its_media_type(client: Client) -> None:
    found = {path: client.get(path).headers["content-type"].split(";")[0] for path in PATHS}
    assert found == {
        "/": "text/html",
        "/docs": "text/html",
        "/style.css": "text/css",
        **{f"/{path.name}": "text/javascript" for path in FOLDER.glob("*.js")},
    }


def test_a_browser_that_has_the_file_is_told_so(client: Client) -> None:
    first = client.get("/app.js")
    again = client.get("/app.js", headers={"If-None-Match": first.headers["etag"]})
    assert (again.status_code, again.content) == (304, b"")
    assert client.get("/app.js", headers={"If-None-Match": '"other"'}).status_code == 200


@pytest.mark.parametrize("name", PAGES)
def test_every_address_of_the_pages_is_relative_and_served(client: Client, name: str) -> None:
    addresses = [
        attrs.get("src") or attrs.get("href") or "" for _, attrs in markup(name).tags if {"src", "href"} & set(attrs)
    ]
    files = [address for address in addresses if not address.startswith(("data:", "#"))]
    assert {"style.css"} < set(files)
    promote(client.store)
    assert {address: client.get(f"/{address.removeprefix('.')}").status_code for address in files} == dict.fromkeys(
        files, 200
    )


@pytest.mark.parametrize("name", PAGES)
def test_the_pages_hold_no_inline_script_or_style_which_their_policy_would_stop(name: str) -> None:
    for tag, attrs in markup(name).tags:
        assert tag != "style"
        assert tag != "script" or attrs.get("src")
        assert not [attr for attr in attrs if attr == "style" or attr.startswith("on")]


@pytest.mark.parametrize("name", PAGES)
def test_the_pages_announce_their_results_and_fit_a_phone(name: str) -> None:
    tags = markup(name).tags
    assert [attrs["id"] for _, attrs in tags if attrs.get("aria-live") == "polite"] == ["status"]
    assert any(tag == "html" and attrs.get("lang") for tag, attrs in tags)
    assert any(attrs.get("name") == "viewport" for _, attrs in tags)


def test_a_script_imports_only_what_is_served() -> None:
    for script in FOLDER.glob("*.js"):
        imported = re.findall(r'from "\./([^"]+)"', script.read_text(encoding="utf-8"))
        assert {f"/{name}" for name in imported} <= set(FILES)


@pytest.mark.parametrize("name", sorted(path.name for path in FOLDER.glob("*.js")))
def test_the_scripts_never_read_text_as_markup(name: str) -> None:
    script = (FOLDER / name).read_text(encoding="utf-8")
    script = script.replace('"http://www.w3.org/2000/svg"', "")  # the name of a namespace, never fetched
    forbidden = r"innerHTML|outerHTML|insertAdjacentHTML|document\.write|eval\(|new Function|https?://|import\("
    assert re.findall(forbidden, script) == []
