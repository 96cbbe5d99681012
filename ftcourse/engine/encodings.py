"""In which encoding a text file is: told by its mark, by its zero bytes, by being valid UTF-8, or else by evidence.
Bytes beyond ASCII make letters in nearly any old encoding, but likely words in one of them; where that is not clear,
the file is refused."""

import codecs
import re
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from ftcourse.engine.letters import codes_of, likelihoods, prices_of, surprise
from ftcourse.engine.messages import trouble

ENCODINGS = {"en": ("cp1252",), "ar": ("cp1256",), "zh": ("gb18030",), "zh-Hant": ("big5hkscs", "gb18030")}
OLD = ("cp1252", "cp1256", "iso-8859-6", "gb18030", "big5hkscs")
TWO_BYTES = ("gb18030", "big5hkscs")
BYTE_MARKS = {  # that of UTF-32 begins like that of UTF-16
    codecs.BOM_UTF32_LE: ("utf-32", "utf-32-le"),
    codecs.BOM_UTF32_BE: ("utf-32", "utf-32-be"),
    codecs.BOM_UTF16_LE: ("utf-16", "utf-16-le"),
    codecs.BOM_UTF16_BE: ("utf-16", "utf-16-be"),
    codecs.BOM_UTF8: ("utf-8-sig", "utf-8"),
}
WIDE = ("utf-32-le", "utf-32-be", "utf-16-le", "utf-16-be")  # which have zero bytes
UNWANTED = re.compile("[\0\u0a00]")  # in UTF-16: nothing, and the end of a line with its two bytes swapped
WORD = re.compile(rb"[\x30-\xff]*[\x80-\xff][\x30-\xff]*")  # no letter of an old encoding has a byte below 0x30
BLOCK = 1 << 20
MARGIN = 4.0  # how much likelier the best reading must be than the next: e to this power
WITHOUT = 3.0  # and how much without the word that speaks loudest for it
KNOWN_LANGUAGE = 1.5  # what the language counts
STRANGE = 2.0  # from this surprise on, a reading is no text


def blocks(path: Path) -> Iterator[bytes]:
    """The bytes of a file, about a million at a time, where possible with whole lines."""
    with open(path, "rb") as file:
        while block := file.read(BLOCK):
            yield block + file.readline(BLOCK)


def bad_bytes(path: Path, encoding: str) -> tuple[int, int, bytes] | None:
    """Line, byte in the line, and bytes of the first thing in a file that an encoding does not know, or else None.

    >>> from tempfile import TemporaryDirectory
    >>> with TemporaryDirectory() as folder:
    ...     _ = Path(folder, "a.csv").write_bytes(b"text\\nCaf\\xe9\\n")
    ...     bad_bytes(Path(folder, "a.csv"), "utf-8"), bad_bytes(Path(folder, "a.csv"), "cp1252")
    ((2, 4, b'\\xe9'), None)
    """
    decoder, line, column, wide = codecs.getincrementaldecoder(encoding)(), 1, 1, encoding in WIDE
    for block in with_end(blocks(path)):
        found = b""
        try:
            text = decoder.decode(block, final=not block)
        except UnicodeDecodeError as error:
            found = error.object[error.start : error.end]
            text = error.object[: error.start].decode(encoding)
        if place := UNWANTED.search(text) if wide else None:
            text, found = text[: place.start()], place[0].encode(encoding)
        line += text.count("\n")
        rest = len(text.rpartition("\n")[2].encode(encoding))
        column = rest + 1 if "\n" in text else column + rest
        if found:
            return line, column, found
    return None


def with_end(parts: Iterator[bytes]) -> Iterator[bytes]:
    """The parts, and an empty one after them."""
    yield from parts
    yield b""


@dataclass
class Scan:
    """What one pass over a file finds: whether it is valid UTF-8, its words with bytes beyond ASCII, zero bytes."""

    valid: bool = True
    words: dict[bytes, None] = field(default_factory=dict)
    high: set[int] = field(default_factory=set)
    lines: int = 0
    zeros: int = 0  # ends of lines that have a zero byte beside them


def scan(path: Path) -> Scan:
    """One pass over a file.

    >>> from tempfile import TemporaryDirectory
    >>> with TemporaryDirectory() as folder:
    ...     _ = Path(folder, "a.csv").write_bytes(b"text\\nCaf\\xe9\\n")
    ...     scan(Path(folder, "a.csv"))
    Scan(valid=False, words={b'Caf\\xe9': None}, high={233}, lines=2, zeros=0)
    """
    found, decoder = Scan(), codecs.getincrementaldecoder("utf-8")()
    share = max(20_000, 2_000_000 * BLOCK // path.stat().st_size)  # of a block, so that all parts of a file are heard
    for block in blocks(path):
        found.lines += block.count(b"\n")
        found.zeros += len(re.findall(rb"\0\n|\n\0", block)) if b"\0" in block else 0
        try:
            found.valid = found.valid and decoder.decode(block) is not None
        except UnicodeDecodeError:
            found.valid = False
        if not block.isascii():
            found.high.update(np.unique(np.frombuffer(block, np.uint8)).tolist())
            taken = 0
            for word in WORD.finditer(block):
                found.words[word[0][:1000]] = None
                taken += len(word[0])
                if taken > share:
                    break
    found.high -= {*range(0x80)}
    return found


def wide_encoding(path: Path, found: Scan) -> str | None:
    """The encoding of a file with zero bytes and no mark: UTF-16 or UTF-32, where it is one of them, or else None.

    >>> from tempfile import TemporaryDirectory
    >>> with TemporaryDirectory() as folder:
    ...     _ = Path(folder, "a.csv").write_bytes("text\\n好\\n".encode("utf-16-le"))
    ...     wide_encoding(Path(folder, "a.csv"), scan(Path(folder, "a.csv")))
    'utf-16-le'
    """
    for encoding in WIDE if found.zeros else ():
        if bad_bytes(path, encoding) is None:
            return encoding
    return None


def same(one: str, other: str, found: Scan) -> bool:
    """Whether two encodings read the same in a file; those of one byte a letter do where its bytes mean the same.

    >>> same("cp1252", "cp1256", Scan(high={0xE9})), same("cp1252", "cp1256", Scan(high={0xE9, 0xE1}))
    (True, False)
    """
    if one in TWO_BYTES or other in TWO_BYTES:
        return False
    return all(bytes([n]).decode(one, "replace") == bytes([n]).decode(other, "replace") for n in found.high)


def word_values(found: Scan, encodings: Sequence[str]) -> dict[str, np.ndarray]:
    """How likely each word is in each encoding, as a logarithm.

    >>> values = word_values(Scan(words={"جيد".encode("cp1256"): None}), OLD)
    >>> max(values, key=lambda one: values[one].sum())
    'cp1256'
    """
    texts = {one: [word.decode(one, "replace") for word in found.words] for one in encodings}
    if len(found.words) <= MENDED:
        texts |= {one: [mended(word, one) for word in found.words] for one in encodings if one in TWO_BYTES}
    return {one: likelihoods(known)[0] for one, known in texts.items()}


def ranked(values: dict[str, np.ndarray], lang: str) -> list[str]:
    """The encodings, the likeliest first; those of the language have a little more weight.

    >>> ranked({"cp1252": np.array([-9.0, -5.0]), "cp1256": np.array([-6.0, -7.0])}, "en")
    ['cp1252', 'cp1256']
    """
    return sorted(values, key=lambda one: -values[one].sum() - KNOWN_LANGUAGE * (one in ENCODINGS[lang]))


def clearly(best: np.ndarray, other: np.ndarray, known: float = 0.0) -> bool:
    """Whether words are much likelier in one encoding than in another, and likelier still without the best of them,
    which may be one with a broken byte. Words that read the same in both, or as likely, do not count.

    >>> best = np.array([-9.0, -9.0])
    >>> clearly(best, np.array([-20.0, -9.5])), clearly(best, np.array([-13.0, -13.0]))
    (False, True)
    """
    gains = best - other
    sure = gains.sum() + known
    return bool(sure >= MARGIN and (np.count_nonzero(gains) < 2 or sure - gains.max() >= WITHOUT))


def limit(words: int) -> float:
    """The surprise from which on a reading is no text: the fewer words there are, the more may be odd about them.

    >>> limit(1) > limit(100) > 0.9
    True
    """
    return 0.9 + 0.5 / words**0.5


def judge(path: Path, found: Scan, lang: str) -> str:
    """The encoding under which the words of a file are clearly the likeliest. A `ValueError` tells why there is none.

    >>> from tempfile import TemporaryDirectory
    >>> with TemporaryDirectory() as folder:
    ...     _ = Path(folder, "a.csv").write_bytes("text\\n好吃\\n".encode("big5"))
    ...     judge(Path(folder, "a.csv"), scan(Path(folder, "a.csv")), "en")
    'big5hkscs'
    """
    values = word_values(found, ("utf-8", *OLD))
    best, *others = ranked(values, lang)
    if best == "utf-8":
        raise damaged(path, best, bad_bytes(path, best))
    sample = " ".join(word.decode(best, "replace") for word in found.words)
    if surprise(sample) > limit(len(found.words)):
        line, column, bytes_found = bad_bytes(path, "utf-8")
        tried = ", ".join(("utf-8", *OLD))
        raise trouble("encoding", name=path.name, line=line, column=column, found=bytes_found.hex(" "), tried=tried)
    known = {one: KNOWN_LANGUAGE * (one in ENCODINGS[lang]) for one in values}
    others = [one for one in others if not same(best, one, found)]
    close = [one for one in others if not clearly(values[best], values[one], known[best] - known[one])]
    if close:
        raise unclear(path, [best, *close], found)
    return best


def damaged(path: Path, encoding: str, place: tuple[int, int, bytes], named: bool = False) -> Exception:
    """What to say of a file that is in an encoding but for a few bytes, at a place; or that is not in the one named."""
    line, column, found = place
    values = {"line": line, "column": column, "found": found.hex(" "), "encoding": encoding}
    return trouble("encoding_given" if named else "encoding_damaged", name=path.name, **values)


def unclear(path: Path, encodings: list[str], found: Scan) -> Exception:
    """What to say of a file that may be in this encoding or in that: how its first word reads in each."""
    word = next((w for w in found.words if len({w.decode(one, "replace") for one in encodings}) > 1), b"")
    seen = "; ".join(f"{one}: {word.decode(one, 'replace')[:30]}" for one in encodings)
    line, column, bytes_found = bad_bytes(path, "utf-8") or bad_bytes(path, "ascii")
    values = {"line": line, "column": column, "found": bytes_found.hex(" "), "readings": seen, "first": encodings[0]}
    return trouble("encoding_unclear", name=path.name, **values)


def find_encoding(path: Path, lang: str, given: str | None = None) -> str:
    """The encoding of a text file: Unicode with or without a mark, or the old one that the evidence speaks for.

    `lang` decides where little else does; `given` is one that somebody named. Raises `ValueError`, with line and
    byte, where no encoding fits, more than one, or all but a few bytes.

    >>> from tempfile import TemporaryDirectory
    >>> with TemporaryDirectory() as folder:
    ...     _ = Path(folder, "a.csv").write_bytes("text\\nالطعام لذيذ جدا والمكان جميل\\n".encode("cp1256"))
    ...     find_encoding(Path(folder, "a.csv"), "ar")
    'cp1256'
    """
    given = as_named(path, given)
    with open(path, "rb") as file:
        start = file.read(4)
    name, strict = next((names for mark, names in BYTE_MARKS.items() if start.startswith(mark)), (None, None))
    if given:
        given = known_encoding(given)
        name, strict = (name, strict) if given == strict else (given, given)  # the mark of that encoding is no text
    elif not name:
        found = scan(path)
        name = strict = wide_encoding(path, found)
        if not name and found.zeros * 2 > found.lines:
            raise damaged(path, *likely_wide(path))
        if not name and found.valid and not rather_old(found):
            name = strict = "utf-8"
        elif not name and found.valid:
            raise unclear(path, ["utf-8", ranked(word_values(found, OLD), lang)[0]], found)
        elif not name:
            name = strict = judge(path, found, lang)
    if place := bad_bytes(path, strict):
        raise damaged(path, strict, place, named=bool(given) and strict.startswith("utf"))
    if strict in TWO_BYTES and not given and (place := lost_byte(path, strict)):
        raise damaged(path, strict, place)
    return name


def as_named(path: Path, given: str | None) -> str | None:
    """The encoding that somebody named; None where it is an old one, and the file plainly in Unicode: it may have been
    named for another file, and fits this one as well where it knows all bytes.

    >>> from tempfile import TemporaryDirectory
    >>> with TemporaryDirectory() as folder:
    ...     _ = Path(folder, "a.csv").write_text("text\\nالطعام لذيذ جدا والمكان جميل\\n", encoding="utf-8")
    ...     as_named(Path(folder, "a.csv"), "cp1256")
    """
    if not given or known_encoding(given).startswith("utf"):
        return given
    with open(path, "rb") as file:
        marked = file.read(4).startswith((*BYTE_MARKS,))
    found = scan(path)
    return None if marked or (found.valid and found.words and not rather_old(found)) else given


def likely_wide(path: Path) -> tuple[str, tuple[int, int, bytes]]:
    """Which of UTF-16 and UTF-32 a damaged file without a mark began in, the one that reads furthest; and to where."""
    places = {one: bad_bytes(path, one) for one in WIDE}
    return max(places.items(), key=lambda entry: entry[1][:2])


def known_encoding(given: str) -> str:
    """The name of an encoding as Python has it; a `ValueError` where it knows none of that name.

    >>> known_encoding("GB18030")
    'gb18030'
    """
    try:
        return codecs.lookup(given).name
    except (LookupError, ValueError):
        raise trouble("unknown_encoding", given=given, known=", ".join(("utf-8", "utf-16", *OLD))) from None


MENDED = 20  # words: among so few, a broken one counts
FEW = 3  # words that may be valid UTF-8 by chance


def rather_old(found: Scan) -> bool:
    """Whether what is valid UTF-8 is a word or two of an old encoding, which happen to be valid.

    >>> rather_old(Scan(words={"学前".encode("gb18030"): None}))
    True
    >>> rather_old(Scan(words={"é".encode(): None}))
    False
    """
    if not 0 < len(found.words) <= FEW:
        return False
    values = {one: float(known.sum()) for one, known in word_values(found, ("utf-8", *OLD)).items()}
    return max(values.values()) > values["utf-8"] + MARGIN


RARE = -31.0  # what three letters side by side cost where they may come from bytes paired wrongly
NEAR = 8  # letters before a rare one among which a byte may be lost
LOST = 15.0  # how much likelier the letters must be without a byte: e to this power


def lost_byte(path: Path, encoding: str) -> tuple[int, int, bytes] | None:
    """Line, byte in the line, and byte, from which on the pairs of a two-byte encoding are others than were written.

    A lost byte makes the next one begin a pair, and so on up to the next blank or comma: other letters, all known.

    >>> from tempfile import TemporaryDirectory
    >>> with TemporaryDirectory() as folder:
    ...     text = "这家餐厅的菜真好吃，我们下次还会再来".encode("gb18030")
    ...     _ = Path(folder, "a.csv").write_bytes(text[:8] + text[9:] + b"\\xa3\\n")
    ...     lost_byte(Path(folder, "a.csv"), "gb18030")
    (1, 9, b'\\xc4')
    """
    line, tried = 0, set()
    for block in blocks(path):
        strange = strange_lines(block.decode(encoding), tried)
        lines = block.split(b"\n") if strange else []
        for number in strange:
            for word in WORD.finditer(lines[number]):
                if (start := first_lost(word[0], encoding)) is not None:
                    at = word.start() + start
                    return line + number + 1, at + 1, lines[number][at : at + 1]
        line += block.count(b"\n")
    return None


def strange_lines(text: str, tried: set[str]) -> list[int]:
    """The numbers of the lines with three unlikely letters side by side, other than those tried before.

    >>> tried = set()
    >>> strange_lines("好吃\\n魑魅魍魉\\n", tried), strange_lines("魑魅魍魉\\n", tried)
    ([1], [])
    """
    prices = prices_of(text)
    places = np.flatnonzero(prices[:-2] + prices[1:-1] + prices[2:] < RARE).tolist()
    fresh = [place for place in places if text[place : place + 3] not in tried]
    tried.update(text[place : place + 3] for place in fresh)
    ends = np.flatnonzero(codes_of(text) == ord("\n"))
    return np.unique(np.searchsorted(ends, fresh)).tolist()


def first_lost(word: bytes, encoding: str) -> int | None:
    """The place in a word of a byte without which what follows is far likelier, or None; looked for near rare letters.

    >>> word = "这家餐厅的菜真好吃".encode("gb18030")
    >>> first_lost(word, "gb18030"), first_lost(word[:4] + word[5:] + b"\\xa3", "gb18030")
    (None, 4)
    """
    text = word.decode(encoding)
    starts = np.cumsum([0, *(len(character.encode(encoding)) for character in text)])[:-1]
    prices = prices_of(text)
    strange = np.flatnonzero(prices[:-2] + prices[1:-1] + prices[2:] < RARE)[:NEAR]
    near = sorted({start for place in strange.tolist() for start in starts[max(place - NEAR, 0) : place + 3].tolist()})
    places = [start for start in near if word[start] > 0x7F]
    if not places:
        return None
    ends = [start + 6 * NEAR for start in places]
    rest = [word[start:end].decode(encoding, "ignore") for start, end in zip(places, ends, strict=True)]
    without = [word[start + 1 : end].decode(encoding, "ignore") for start, end in zip(places, ends, strict=True)]
    gains = likelihoods(without)[0] - likelihoods(rest)[0]
    best = int(gains.argmax())
    return places[best] if gains[best] > LOST else None


def mended(word: bytes, encoding: str) -> str:
    """A word in a two-byte encoding; where it is not valid, the likeliest one without a byte, with a sign for that.

    >>> mended("好吃".encode("big5"), "big5hkscs"), mended("真好吃".encode("gb18030")[1:], "gb18030")
    ('好吃', '好吃\ufffd')
    """
    try:
        return word.decode(encoding)
    except UnicodeDecodeError:
        texts = [word.decode(encoding, "replace")]
    for place in range(min(len(word), 200)):
        with suppress(UnicodeDecodeError):
            texts.append((word[:place] + word[place + 1 :]).decode(encoding) + "\ufffd")
    return texts[int(likelihoods(texts)[0].argmax())]
