"""What a notebook shows: tokens in colour, tables, and texts that run in their own direction."""

import unicodedata
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from html import escape
from typing import NamedTuple


def direction(text: str) -> str:
    """Which way most of the text's letters run: "rtl" (right to left) or "ltr".

    >>> direction("BERT نموذج لغوي"), direction("")
    ('rtl', 'ltr')
    """
    kinds = [unicodedata.bidirectional(character) for character in text]
    return "rtl" if kinds.count("R") + kinds.count("AL") > kinds.count("L") else "ltr"


class Piece(NamedTuple):
    """A token with its id, the part of the text that it stands for, and what lies between it and the one before.

    >>> Piece("##zz", 80, "zz", "").text
    'zz'
    """

    token: str
    id: int
    text: str
    gap: str


COLOURS = ("0,114,178", "230,159,0", "0,158,115", "204,121,167")


UNKNOWN = "outline:2px dashed rgb(213,94,0);outline-offset:-2px"


def to_html(pieces: list[Piece], unknown: int | None = None) -> str:
    """One text as HTML: a coloured span for each token, which shows the token and its id under the mouse pointer.

    `unknown` is the id of the token for unknown characters. What is HTML in the text is shown, not obeyed.

    >>> "&lt;b&gt;" in to_html([Piece("<b>", 7, "<b>", "")])
    True
    """
    spans = []
    for number, piece in enumerate(pieces):
        rgb = COLOURS[number % len(COLOURS)]
        style = f"background-color:rgba({rgb},0.25);border-bottom:3px solid rgb({rgb});border-radius:0 0 6px 6px"
        style += f";{UNKNOWN}" if piece.id == unknown else ""
        title = escape(f"{piece.token} {piece.id}")
        spans.append(f'{escape(piece.gap)}<span title="{title}" style="{style}">{escape(piece.text) or "·"}</span>')
    way = direction("".join(piece.text for piece in pieces))
    return f'<div dir="{way}" style="line-height:2.2;white-space:pre-wrap">{"".join(spans)}</div>'


def to_plain(pieces: list[Piece], unknown: int | None = None) -> str:
    """One text with a dot between tokens that touch, and the unknown token in place of what it swallowed.

    >>> to_plain([Piece("kit", 5, "kit", ""), Piece("##chen", 6, "chen", ""), Piece("!", 7, "!", " ")])
    'kit·chen !'
    """
    shown = [piece.gap + (piece.token if piece.id == unknown else piece.text) for piece in pieces]
    return "".join(part if part[:1].isspace() else f"·{part}" for part in shown).removeprefix("·")


@dataclass(frozen=True)
class TokenView:
    """Texts cut into tokens: in colour where HTML is shown, with dots between tokens elsewhere.

    >>> TokenView([[Piece("kit", 5, "kit", ""), Piece("##chen", 6, "chen", "")]])
    kit·chen
    """

    texts: list[list[Piece]]
    unknown: int | None = None

    def __repr__(self) -> str:
        return "\n".join(to_plain(pieces, self.unknown) for pieces in self.texts)

    def _repr_html_(self) -> str:
        return "".join(to_html(pieces, self.unknown) for pieces in self.texts)


class Markup(str):
    """HTML for a whole cell of a table."""


def table_html(header: Sequence[str], rows: Iterable[Sequence[object]]) -> str:
    """A table in HTML. Texts are escaped, and each runs in its own direction; a `Markup` cell is taken as it is.

    >>> "&lt;b&gt;" in table_html(["text"], [["<b>"]])
    True
    """
    head = "".join(f'<th dir="auto">{escape(name)}</th>' for name in header)
    body = "".join(f"<tr>{''.join(map(cell_html, row))}</tr>" for row in rows)
    return f"<table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>"


def cell_html(value: object) -> str:
    """A cell of a table: numbers to the end, texts in their own direction.

    >>> cell_html(0.98765), cell_html("a<b")
    ('<td class="n">0.988</td>', '<td dir="auto">a&lt;b</td>')
    """
    if isinstance(value, Markup):
        return value
    if isinstance(value, int | float):
        return f'<td class="n">{value:.3f}</td>' if isinstance(value, float) else f'<td class="n">{value}</td>'
    return f'<td dir="auto">{escape(str(value))}</td>'


def bar(share: float) -> Markup:
    """A cell with a bar, full at 1."""
    return Markup(f'<td style="min-width:10rem"><div class="bar" style="width:{100 * share:.1f}%"></div></td>')


def shaded(count: int, total: int) -> Markup:
    """A cell with a count, the darker the larger its share of `total`."""
    share = count / max(total, 1)
    colour = "white" if share > 0.5 else "black"
    return Markup(f'<td class="n" style="background:rgba(0,114,178,{share:.2f});color:{colour}">{count}</td>')
