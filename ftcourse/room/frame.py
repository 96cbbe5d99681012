"""What the pages of a server have in common: a frame with the languages, and the language that a reader asks for."""

from html import escape

from starlette.requests import Request

from ftcourse.engine.checks import LANGS
from ftcourse.engine.messages import RIGHT_TO_LEFT, message

LANGUAGES = {"en": "English", "ar": "العربية", "zh": "简体中文", "zh-Hant": "繁體中文"}
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


def page(lang: str, title: str, body: str, request: Request, name: str = "room") -> str:
    """A page: all in one file, right to left where the language runs so. `name` is the catalogue with its title."""
    direction = "rtl" if lang in RIGHT_TO_LEFT else "ltr"
    links = "".join(
        f'<b lang="{other}">{name}</b>'
        if other == lang
        else f'<a lang="{other}" hreflang="{other}" href="?lang={other}">{name}</a>'
        for other, name in LANGUAGES.items()
    )
    words = escape(message(lang, name, "title"))
    return f"""<!doctype html>
<html lang="{lang}" dir="{direction}"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width">
<title>{escape(title)}</title><link rel="icon" href="data:,"><style>{STYLE}</style></head>
<body><header><strong><a href="{in_lang("/", request)}">{words}</a></strong><nav>{links}</nav></header>
<main>{body}</main></body></html>
"""
