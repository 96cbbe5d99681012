"""The pages for browsers: what there is, and the card of each, in the reader's language."""

import re
from html import escape
from pathlib import PurePosixPath
from urllib.parse import quote

from markdown_it import MarkdownIt
from starlette.requests import Request

from ftcourse.engine.checks import LANGS
from ftcourse.engine.messages import message
from ftcourse.room.names import KINDS
from ftcourse.room.shelf import Item
from ftcourse.room.storage import Repo

RIGHT_TO_LEFT = ("ar",)
LANGUAGES = {"en": "English", "ar": "العربية", "zh": "简体中文", "zh-Hant": "繁體中文"}
COMMENT = re.compile("<!--.*?-->", re.S)  # `Trainer` begins its cards with one
ELSEWHERE = "https://huggingface.co/"  # in cards, here it means this Hub
TAIWAN = ("zh-hant", "zh-tw", "zh-hk", "zh-mo")
# Nothing is fetched from elsewhere, and nothing runs.
HEADERS = {
    "Content-Security-Policy": "default-src 'none'; img-src 'self' data:; style-src 'unsafe-inline'",
    "X-Content-Type-Options": "nosniff",
    "Vary": "Accept-Language",
}
STYLE = """
:root { color-scheme: light dark;
  --line: color-mix(in srgb, currentColor 18%, transparent); --soft: color-mix(in srgb, currentColor 65%, transparent);
  --link: light-dark(#0b57d0, #8ab4f8); --warn: light-dark(#b06000, #fdd663) }
* { box-sizing: border-box }
body { margin: 0 auto; max-width: 54rem; padding: 1.5rem 1.25rem 4rem;
  font: 1rem/1.6 system-ui, "Noto Sans", "Noto Sans Arabic", "Noto Sans SC", "Noto Sans TC", sans-serif }
a { color: var(--link); text-decoration: none }
a:hover, a:focus-visible { text-decoration: underline }
header { display: flex; flex-wrap: wrap; gap: .5rem 1.5rem; justify-content: space-between; align-items: baseline;
  border-block-end: 1px solid var(--line); padding-block-end: .75rem }
header strong { font-size: 1.15rem }
nav a, nav b { margin-inline-start: .9rem; font-weight: 400 }
nav b { font-weight: 600 }
h1 { font-size: 1.6rem; line-height: 1.3; overflow-wrap: anywhere }
h2 { font-size: 1.2rem; margin-block-start: 2rem }
ul.list { list-style: none; padding: 0 }
ul.list li { display: flex; flex-wrap: wrap; gap: .1rem 1rem; justify-content: space-between;
  padding: .6rem 0; border-block-end: 1px solid var(--line) }
small, .soft { color: var(--soft) }
.from { flex-basis: 100% }
code, pre, bdi[dir="ltr"] { font-family: ui-monospace, "DejaVu Sans Mono", monospace; font-size: .92em }
bdi { overflow-wrap: anywhere }
pre { overflow-x: auto; padding: .8rem 1rem; border: 1px solid var(--line); border-radius: .5rem;
  direction: ltr; text-align: left }
.note { border-inline-start: .3rem solid var(--warn); padding: .4rem 1rem;
  background: color-mix(in srgb, orange 10%, transparent) }
table { border-collapse: collapse; display: block; overflow-x: auto }
td, th { border: 1px solid var(--line); padding: .3rem .7rem; text-align: start }
article { border-block-start: 1px solid var(--line); margin-block-start: 1.5rem }
article img { max-width: 100% }
blockquote { margin-inline: 0; padding-inline-start: 1rem; border-inline-start: .2rem solid var(--line) }
input { font: inherit; padding: .3rem .7rem; width: 100%; max-width: 22rem; border: 1px solid var(--line);
  border-radius: .5rem; background: transparent; color: inherit }
"""


def reader_lang(request: Request, otherwise: str) -> str:
    """The language that a reader asks for, in the address or by the browser; or else the server's."""
    asked = request.query_params.get("lang")
    if asked in LANGS:
        return asked
    for entry in request.headers.get("accept-language", "").lower().split(","):
        tag = entry.split(";")[0].strip()
        if tag.startswith(TAIWAN):
            return "zh-Hant"
        if tag.split("-")[0] in LANGS:
            return tag.split("-")[0]
    return otherwise


def in_lang(path: str, request: Request) -> str:
    """An address within these pages, in the language that the reader has chosen."""
    asked = request.query_params.get("lang")
    return f"{path}?lang={asked}" if asked in LANGS else path


def page(lang: str, title: str, body: str, request: Request) -> str:
    """A page: everything in one file, right to left where the language runs so."""
    direction = "rtl" if lang in RIGHT_TO_LEFT else "ltr"
    links = "".join(
        f'<b lang="{other}">{name}</b>'
        if other == lang
        else f'<a lang="{other}" hreflang="{other}" href="?lang={other}">{name}</a>'
        for other, name in LANGUAGES.items()
    )
    words = escape(message(lang, "room", "title"))
    return f"""<!doctype html>
<html lang="{lang}" dir="{direction}"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width">
<title>{escape(title)}</title><link rel="icon" href="data:,"><style>{STYLE}</style></head>
<body><header><strong><a href="{in_lang("/", request)}">{words}</a></strong><nav>{links}</nav></header>
<main>{body}</main></body></html>
"""


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
    tokens = parser.parse(COMMENT.sub("", text))
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
