"""The website as tests see it: built once, whichever of the processes that test at the same time comes first."""

import os
from functools import cache
from html.parser import HTMLParser
from pathlib import Path
from threading import Thread

import pytest
from filelock import FileLock

from ftcourse.engine.website import make_server
from tools.settings import languages


@pytest.fixture(scope="session")
def site(tmp_path_factory) -> Path:
    """The folder of the site; one that is built already is named in FTCOURSE_SITE."""
    if os.environ.get("FTCOURSE_SITE"):
        return Path(os.environ["FTCOURSE_SITE"]).resolve()
    shared = tmp_path_factory.getbasetemp()
    shared = shared.parent if "PYTEST_XDIST_WORKER" in os.environ else shared
    out = shared / "site"
    with FileLock(shared / "site.lock"):
        if not out.is_dir():
            from tools.site import build_site

            notes = build_site(languages(), out)
            out.with_suffix(".txt").write_text("\n".join(notes), encoding="utf-8")
    return out


@pytest.fixture(scope="session")
def address(site) -> str:
    """Where a server shows it."""
    with make_server(site, port=0) as server:
        Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()


class Seen(HTMLParser):
    """What a page has: names of places, links, things that are fetched, pictures, headings of its text."""

    def __init__(self, text: str):
        super().__init__(convert_charrefs=True)
        self.ids: list[str] = []
        self.links: list[str] = []
        self.fetched: list[str] = []
        self.pictures: list[dict] = []
        self.headings: list[tuple[int, str]] = []
        self.lang = self.direction = ""
        self.within = 0
        self.feed(text)

    def handle_starttag(self, tag: str, attributes: list) -> None:
        found = dict(attributes)
        if "id" in found:
            self.ids.append(found["id"])
        if tag == "html":
            self.lang = found.get("lang", "")
        if tag == "body":
            self.direction = found.get("dir", "")
        if tag == "a" and "href" in found:
            self.links.append(found["href"])
        if tag in ("img", "script", "source", "audio", "video", "iframe", "embed") and "src" in found:
            self.fetched.append(found["src"])
        if tag == "link" and found.get("rel") not in ("prev", "next", "canonical", "alternate"):
            self.fetched.append(found["href"])
        if tag == "img":
            self.pictures.append(found)
        if tag == "article":
            self.within += 1
        if self.within and len(tag) == 2 and tag[0] == "h" and tag[1].isdigit():
            self.headings.append((int(tag[1]), found.get("id", "")))

    def handle_endtag(self, tag: str) -> None:
        self.within -= tag == "article"


@cache
def seen(path: Path) -> Seen:
    """What a page has, looked at once."""
    return Seen(path.read_text(encoding="utf-8"))
