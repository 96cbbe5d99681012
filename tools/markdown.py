"""Markdown of a prose cell: what a translator must leave alone, and how right-to-left text is stored."""

import re
from collections import Counter
from collections.abc import Callable

FENCE = re.compile(r"^(?P<fence>`{3,}|~{3,})[^\n]*\n.*?^(?P=fence)[ \t]*$", re.M | re.S)
CODE = re.compile(r"(?<![`\\])(?P<ticks>`+)(?!`)(?P<body>.+?)(?<!`)(?P=ticks)(?!`)|<code>(?P<html>.*?)</code>", re.S)
LINK = re.compile(r"(?<=\])\((?P<address>[^)\s]+)\)|(?P<bare>https?://[^\s)<>]+)")
MATH = re.compile(r"\$[^$\n]+\$")
TAG = re.compile(r"</?\w+[^<>]*>")
NUMBER = re.compile(r"\d+(?:[.,]\d+)*")
PROTECTED = (FENCE, CODE, LINK, MATH, TAG)

RTL, LTR, END = '<div dir="rtl">', '<div dir="ltr">', "</div>"
SPAN, SPAN_END = '<span dir="ltr">', "</span>"
# JupyterLab's own style aligns every paragraph left; only a block inside the paragraph can say otherwise.
BLOCK = '<span dir="rtl" style="display: block; text-align: right">'
NO_PARAGRAPH = r"[#|<>\s]|[-*+] |\d+\. "
PARAGRAPH = re.compile(rf"^(?P<quote>> )?(?P<text>(?!{NO_PARAGRAPH}).+(?:\n(?!{NO_PARAGRAPH}).+)*)", re.M)
HTML_CODE, HTML_CODE_LTR = "<code>", '<code dir="ltr">'


def on_words(change: Callable[[str], str], text: str, protected: tuple[re.Pattern, ...] = PROTECTED) -> str:
    """Text with `change` applied to its words, and not to code, addresses, formulas and tags.

    >>> on_words(str.upper, "see `map` at [docs](https://a.org)")
    'SEE `map` AT [DOCS](https://a.org)'
    """
    if not protected:
        return change(text)
    pattern, *rest = protected
    pieces, position = [], 0
    for match in pattern.finditer(text):
        pieces += [on_words(change, text[position : match.start()], tuple(rest)), match[0]]
        position = match.end()
    return "".join([*pieces, on_words(change, text[position:], tuple(rest))])


def fixed_parts(text: str) -> dict[str, Counter]:
    """What a translation must have as often as its source: code, links, formulas, numbers, and verdicts of a quiz.

    >>> fixed_parts("Call `map` 2 times.")["numbers"]
    Counter({'2': 1})
    """
    fences = Counter(match[0] for match in FENCE.finditer(text))
    text = FENCE.sub("", text)
    code = Counter(match["body"] or match["html"] for match in CODE.finditer(text))
    text = CODE.sub("", text)
    links = Counter(match["address"] or match["bare"] for match in LINK.finditer(text))
    text = LINK.sub("", text)
    formulas = Counter(MATH.findall(text))
    text = MATH.sub("", text)
    tags = Counter(TAG.findall(text) + re.findall("[✓✗]", text))
    numbers = Counter(NUMBER.findall(TAG.sub("", text)))
    return {
        "code": code,
        "code blocks": fences,
        "links": links,
        "formulas": formulas,
        "tags": tags,
        "numbers": numbers,
    }


def words_only(text: str) -> str:
    """Text without code, addresses, formulas and tags.

    >>> words_only("Call `map` <b>twice</b>.")
    'Call  twice.'
    """
    for pattern in PROTECTED:
        text = pattern.sub("", text)
    return text


def wrap_rtl(text: str) -> str:
    """Markdown in a right-to-left block, with its code left to right; blank lines keep the markdown inside alive.

    >>> print(wrap_rtl("نص `a`"))
    <div dir="rtl">
    <BLANKLINE>
    <span dir="rtl" style="display: block; text-align: right">نص <span dir="ltr">`a`</span></span>
    <BLANKLINE>
    </div>
    """
    text = unwrap_rtl(text).strip("\n")
    pieces, position = [], 0
    for match in FENCE.finditer(text):
        pieces += [spans(text[position : match.start()]), f"{LTR}\n\n{match[0]}\n\n{END}"]
        position = match.end()
    body = "".join([*pieces, spans(text[position:])])
    return f"{RTL}\n\n{body}\n\n{END}"


def spans(text: str) -> str:
    """Markdown with its paragraphs marked as right to left, and inline code as left to right."""

    def mark(match: re.Match) -> str:
        return match[0].replace(HTML_CODE, HTML_CODE_LTR, 1) if match["html"] else f"{SPAN}{match[0]}{SPAN_END}"

    text = PARAGRAPH.sub(lambda match: f"{match['quote'] or ''}{BLOCK}{match['text']}{SPAN_END}", text)
    return CODE.sub(mark, text)


def unwrap_rtl(text: str) -> str:
    """The inverse of `wrap_rtl`; other markdown comes back as it is.

    >>> unwrap_rtl(wrap_rtl("نص `a`"))
    'نص `a`'
    """
    inner = text.strip("\n")
    if not (inner.startswith(RTL) and inner.endswith(END)):
        return text
    inner = inner[len(RTL) : -len(END)].strip("\n").replace(HTML_CODE_LTR, HTML_CODE)
    inner = re.sub(rf"{LTR}\n\n({FENCE.pattern})\n\n{END}", r"\1", inner, flags=re.M | re.S)
    inner = re.sub(rf"{SPAN}({CODE.pattern}){SPAN_END}", r"\1", inner, flags=re.S)
    return re.sub(rf"{BLOCK}(.*?){SPAN_END}", r"\1", inner, flags=re.S)
