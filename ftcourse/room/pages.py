"""The pages for browsers: what there is, and the card of each, in the reader's language."""

import re
from html import escape
from pathlib import PurePosixPath
from urllib.parse import quote

from markdown_it import MarkdownIt
from starlette.requests import Request

from ftcourse.engine.checks import LANGS
from ftcourse.engine.messages import message
from ftcourse.room.frame import in_lang, page
from ftcourse.room.names import KINDS
from ftcourse.room.shelf import Item
from ftcourse.room.storage import Repo

COMMENT = re.compile("<!--.*?-->", re.S)  # `Trainer` begins its cards with one
ELSEWHERE = "https://huggingface.co/"  # in cards, here it means this Hub


def size(lang: str, number: int) -> str:
    """A number of bytes, in words.

    >>> size("en", 1234567)
    '1.2 MB'
    """
    for unit, scale in (("gigabytes", 1e9), ("megabytes", 1e6), ("kilobytes", 1e3)):
        if number >= scale:
            return message(lang, "room", unit, number=f"{number / scale:.1f}")
    return message(lang, "room", "bytes", number=number)


def home(
    lang: str, listed: dict[str, list[tuple[dict, Item | None]]], request: Request, owner: str | None, search: str
) -> str:
    """The page that lists what there is, or what a person has there."""
    title = owner or message(lang, "room", "title")
    body = f"<h1><bdi>{escape(owner)}</bdi></h1>" if owner else f"<h1>{escape(title)}</h1>"
    if not owner:
        hint = escape(message(lang, "room", "search"))
        kept = f'<input type="hidden" name="lang" value="{lang}">' if request.query_params.get("lang") in LANGS else ""
        body += f"<p>{escape(message(lang, 'room', 'about'))}</p>"
        field = f'name="search" value="{escape(search)}" placeholder="{hint}" aria-label="{hint}"'
        body += f'<form>{kept}<input type="search" {field}></form>'
    for kind, entries in listed.items():
        if entries:
            pushed_first = sorted(entries, key=lambda entry: entry[1] is not None)
            rows = "".join(row(lang, kind, info, item, request) for info, item in pushed_first)
            body += f'<h2>{escape(message(lang, "room", kind))}</h2><ul class="list">{rows}</ul>'
    if not any(listed.values()):
        body += f"<p>{escape(message(lang, 'room', 'nothing'))}</p>"
    return page(lang, title, body, request)


def row(lang: str, kind: str, info: dict, item: Item | None, request: Request) -> str:
    """A repository in a list."""
    link = in_lang(f"/{KINDS[kind]}{quote(info['id'])}", request)
    note = f'<small class="from">{escape(message(lang, "room", "kit_short", name=item.name))}</small>' if item else ""
    date = f"<small><bdi>{info['lastModified'][:10]}</bdi></small>"
    return f'<li><a href="{link}"><bdi dir="ltr">{escape(info["id"])}</bdi></a>{date}{note}</li>'


def card(
    lang: str, repo: Repo, revision: str, oid: str, commit: dict, text: str, item: Item | None, request: Request
) -> str:
    """The page of a repository at a revision: how to load it, its versions, its files, its card."""
    say = lambda key, **values: escape(message(lang, "room", key, **values))  # noqa: E731
    begin, state = f"/{KINDS[repo.kind]}{quote(repo.id)}", repo.state()
    body = f'<h1><bdi dir="ltr">{escape(repo.id)}</bdi></h1>'
    body += f'<p class="note">{escape(item.note(lang))}</p>' if item else ""
    body += f"<pre>{escape(use(repo, item))}</pre>"
    body += f"<h2>{say('versions')}</h2><p>"
    for name in (*state["branches"], *state["tags"]):
        link = in_lang(f"{begin}/tree/{quote(name, safe='')}", request)
        shown = f"<bdi>{escape(name)}</bdi>"
        body += f"<strong>{shown}</strong> " if name == revision else f'<a href="{link}">{shown}</a> '
    words = {"title": commit["title"], "author": commit["author"], "date": commit["date"][:10]}
    words = {name: f"<bdi>{escape(word)}</bdi>" for name, word in words.items()}  # each runs in its own direction
    told = message(lang, "room", "last_commit", **words)
    body += f'</p><p class="soft">{told} <bdi dir="ltr">{oid[:7]}</bdi></p>'
    body += f'<h2>{say("files")}</h2><ul class="list">'
    for path, entry in sorted(commit["files"].items()):
        link = f"{begin}/resolve/{quote(revision, safe='')}/{quote(path)}"
        name = f'<bdi dir="ltr">{escape(path)}</bdi>'
        body += f'<li><a href="{link}">{name}</a><small>{escape(size(lang, entry["size"]))}</small></li>'
    body += f"</ul><article>{as_html(text, f'{begin}/resolve/{oid}/') or say('no_card')}</article>"
    return page(lang, repo.id, body, request)


def use(repo: Repo, item: Item | None) -> str:
    """The lines that load a repository."""
    if repo.kind == "models":
        return f'from transformers import pipeline\n\nanswer = pipeline(model="{repo.id}")'
    name = repo.id
    if repo.kind == "datasets":
        config = f', "{item.config}"' if item and item.config else ""
        return f'from datasets import load_dataset\n\ndataset = load_dataset("{name}"{config})'
    if item:
        config = f', "{item.config}"' if item.config else ""
        return f'import evaluate\n\nmetric = evaluate.load("{name.split("/")[1]}"{config})'
    return f'from huggingface_hub import snapshot_download\n\nfolder = snapshot_download("{name}", repo_type="space")'


def as_html(text: str, base: str) -> str:
    """A card as HTML: HTML in it is shown, not used; each paragraph runs as its own letters do.

    >>> as_html("# A <b>card</b>", "/maha/x/")
    '<h1 dir="auto">A &lt;b&gt;card&lt;/b&gt;</h1>\\n'
    """
    parser = MarkdownIt("commonmark", {"html": False}).enable(["table", "strikethrough"])
    head, end, tail = text.rpartition("-->")  # behind the last end is none, and to look for one would take long
    tokens = parser.parse(COMMENT.sub("", head + end) + tail)
    for token in tokens:
        if token.type.endswith("_open"):
            token.attrSet("dir", "auto")
        for child in token.children or []:
            for name in ("href", "src"):
                link = child.attrGet(name)
                if link and link.startswith(ELSEWHERE):
                    child.attrSet(name, link.removeprefix(ELSEWHERE[:-1]))
                elif link and "://" not in link and not link.startswith(("#", "/", "mailto:", "data:")):
                    child.attrSet(name, base + PurePosixPath(link).as_posix())
    return parser.renderer.render(tokens, parser.options, {})


def trouble(lang: str, words: str, request: Request) -> str:
    """The page that says what went wrong."""
    return page(lang, message(lang, "room", "title"), f"<p>{escape(words)}</p>", request)
