"""Public text to distil with: where it is, and how it becomes the folder that `--texts` names.

`python -m kit.sources` prints the sources with their licences, and the commands that fetch them into DOWNLOADS.
`python -m kit.sources DOWNLOADS DIR` reads what was fetched, and writes `<lang>.tsv.xz` (`source, text`),
`pairs.tsv.xz` (`lang, en, text, credit`) and `ar-opinions.tsv.xz` (`sentiment, dialect, text`) into DIR.
"""

import argparse
import csv
import hashlib
import html
import json
import lzma
import re
import shlex
import sys
import tempfile
import zipfile
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

TEXTS = ("source", "text")
COLUMNS = {
    "en": TEXTS,
    "ar": TEXTS,
    "zh": TEXTS,
    "zh-Hant": TEXTS,
    "pairs": ("lang", "en", "text", "credit"),
    "ar-opinions": ("sentiment", "dialect", "text"),
}
MIN_CHARACTERS, MAX_CHARACTERS = 12, 400  # of a text; translations may be shorter
MIN_ARTICLE_CHARACTERS = 20  # of a sentence in an encyclopedia: what is shorter is a heading
SENTIMENTS = ("negative", "neutral", "positive")
LINK_OR_MENTION = re.compile(r"https?://\S+|@\w+")  # no more: what is held out depends on what is left of a tweet
MARKUP = re.compile(r"<ref\b[^<>]*(?<!/)>.*?</ref>|<[^<>]*>", re.DOTALL)
OPINION = re.compile(r"<(Pros|Cons)>(.*?)</\1>")
ENGLISH_QUESTIONS = "xquad.en.json"
BROKEN = (
    OSError,
    EOFError,
    ValueError,
    TypeError,
    AttributeError,
    LookupError,
    NotImplementedError,
    csv.Error,
    zipfile.BadZipFile,
    zlib.error,
)
HOW = "`python -m kit.sources` prints the commands."


class NoSource(RuntimeError):
    """A source is missing, or is not what it should be."""


@contextmanager
def reading(path: Path) -> Iterator[None]:
    """Whatever is wrong with the file, said in one line that names it."""
    try:
        yield
    except BROKEN as error:
        reason = " ".join(f"{type(error).__name__}: {error}".split())
        raise NoSource(f"{path} cannot be read ({reason}): delete it and fetch it again; {HOW}") from None


def squeezed(text: str) -> str:
    r"""The text on one line, without blanks to spare.

    >>> squeezed(" so\tgood,\n really\u3000so ")
    'so good, really so'
    """
    return " ".join(text.split())


def text_of(path: Path) -> str:
    return path.read_text(encoding="utf-8-sig")


def lines(path: Path) -> Iterator[str]:
    """Common Voice: a sentence a line."""
    yield from text_of(path).splitlines()


def decoded(data: bytes) -> str:
    try:
        return data.decode("utf-8")
    except UnicodeDecodeError:
        return data.decode("cp1252", "replace")


def zipped_lines(path: Path) -> Iterator[str]:
    """NLTK's film reviews: a sentence a line, in the text files of a zip file."""
    with zipfile.ZipFile(path) as archive:
        for name in sorted(archive.namelist()):
            if name.endswith(".txt"):
                yield from decoded(archive.read(name)).splitlines()


def pros_and_cons(path: Path) -> Iterator[str]:
    """NLTK's pros and cons: an opinion a line, in tags, what is special in it escaped twice."""
    for line in zipped_lines(path):
        for _, opinion in OPINION.findall(line):
            yield html.unescape(html.unescape(opinion))


def article_sentences(path: Path) -> Iterator[str]:
    """Wikipedia's sentences, out of a text file with an article."""
    for line in MARKUP.sub(" ", html.unescape(text_of(path))).splitlines():
        for sentence in re.split(r"(?<=[.!?؟])\s+", line):
            if len(squeezed(sentence)) >= MIN_ARTICLE_CHARACTERS:
                yield sentence


def without_names(tweet: str) -> str:
    """A tweet without mentions, links, and the quotation marks around it.

    >>> without_names('"RT @someone_1: so good https://example.org/a1 #food @other"')
    'RT : so good #food'
    """
    return squeezed(LINK_OR_MENTION.sub("", tweet)).strip('" ')


def labelled_tweets(path: Path) -> Iterator[tuple[str, str, str]]:
    """ArSarcasm's sentiments, dialects and tweets."""
    with open(path, encoding="utf-8-sig", newline="") as file:
        reader = csv.DictReader(file, strict=True)
        for row in reader:
            if None in row or None in row.values():
                raise ValueError(f"line {reader.line_num} has not the {len(reader.fieldnames)} columns of the header")
            if row["sentiment"] not in SENTIMENTS:
                raise ValueError(f"line {reader.line_num} has the sentiment {row['sentiment']!r}, not of {SENTIMENTS}")
            yield row["sentiment"], row["dialect"], without_names(row["tweet"])


def tweets(path: Path) -> Iterator[str]:
    for _, _, tweet in labelled_tweets(path):
        yield tweet


def chinese_sentences(context: str) -> list[str]:
    """A text cut after 。！？ and what closes the sentence with them.

    >>> chinese_sentences("他說：「好吃！」我信了。真的")
    ['他說：「好吃！」', '我信了。', '真的']
    """
    return re.findall(r"[^。！？]*[。！？]+[」』”’）]*|[^。！？]+\Z", context)


def contexts(path: Path) -> Iterator[str]:
    """The texts that questions are asked about: `data`, `paragraphs`, `context`, or a flat list of `context_text`."""
    content = json.loads(text_of(path))
    for article in content if isinstance(content, list) else content["data"]:
        if "context_text" in article:
            yield article["context_text"]
        else:
            yield from (paragraph["context"] for paragraph in article["paragraphs"])


def context_sentences(path: Path) -> Iterator[str]:
    """DRCD's and CMRC's sentences."""
    for context in contexts(path):
        for line in context.splitlines():
            yield from chinese_sentences(line)


def translated_lines(path: Path) -> Iterator[tuple[str, str, str]]:
    """Tatoeba's sentences, their translations, and who wrote both."""
    for number, line in enumerate(text_of(path).split("\n"), 1):
        if line.strip():
            cells = line.split("\t")
            if len(cells) != 3:
                raise ValueError(f"line {number} has {len(cells)} columns, expected 3: English, translation, credit")
            yield tuple(cells)


def questions(path: Path) -> dict[str, str]:
    """XQuAD's questions by their ids."""
    with reading(path):
        paragraphs = [p for article in json.loads(text_of(path))["data"] for p in article["paragraphs"]]
        return {question["id"]: question["question"] for p in paragraphs for question in p["qas"]}


def translated_questions(path: Path) -> Iterator[tuple[str, str, str]]:
    """XQuAD's questions in English, which are beside the file, and in the file's language."""
    if path.name != ENGLISH_QUESTIONS:
        english = questions(path.with_name(ENGLISH_QUESTIONS))
        for name, question in questions(path).items():
            if name in english:
                yield english[name], question, "xquad"


@dataclass(frozen=True)
class Source:
    """Texts of one kind: what may be done with them, where they are, and what reads a file of theirs."""

    language: str  # `en-ar`: English with its Arabic translation
    name: str
    licence: str
    repository: str  # on github.com
    commit: str
    paths: tuple[str, ...]  # as in a `.gitignore`: without a slash, in whatever folder
    reader: Callable[[Path], Iterator]
    most: int | None = None  # texts

    @property
    def folder(self) -> str:
        """Where it is in DOWNLOADS."""
        return self.repository.rpartition("/")[2]

    @property
    def table(self) -> str:
        """The file that its texts go to."""
        if self.name == "ar-opinions":
            return self.name
        return "pairs" if self.language.startswith("en-") else self.language

    def row(self, record: str | tuple[str, ...]) -> tuple[str, ...]:
        """A row of the file, of what the reader gives."""
        first = {"pairs": [self.language.removeprefix("en-")], "ar-opinions": []}.get(self.table, [self.name])
        return tuple(squeezed(cell) for cell in (*first, *([record] if isinstance(record, str) else record)))


def wanted(table: str, row: tuple[str, ...]) -> bool:
    return all(row) if table == "pairs" else MIN_CHARACTERS <= len(row[-1]) <= MAX_CHARACTERS


VOICE = ("CC0 1.0", "mozilla/voice-web", "e0bfbc4be9eb")
NLTK = ("CC BY 4.0 (of the compilation)", "nltk/nltk_data", "5db857e6f7df")
WIKIPEDIA = ("CC BY-SA 4.0", "motazsaad/comparableWikiCoprus", "6e4a6e274b55")
TWEETS = ("MIT", "iabufarha/ArSarcasm", "62a114b6082e", ("ArSarcasm_test.csv", "ArSarcasm_train.csv"))
DRCD = ("CC BY-SA 3.0", "DRCKnowledgeTeam/DRCD", "b944790de5af", ("DRCD_dev.json", "DRCD_test.json"))
CMRC = ("CC BY-SA 4.0", "ymcui/cmrc2018", "c0eb1b6ba219", ("cmrc2018_dev.json", "cmrc2018_trial.json"))
TATOEBA = "CC BY 2.0 FR"
XQUAD = ("CC BY-SA 4.0", "deepmind/xquad", "60cac4116491")
SOURCES = (
    Source("en", "common-voice", *VOICE, ("server/data/en/*.txt",), lines),
    Source("ar", "common-voice", *VOICE, ("server/data/ar/*.txt",), lines),
    Source("zh", "common-voice", *VOICE, ("server/data/zh-CN/*.txt",), lines),
    Source("zh-Hant", "common-voice", *VOICE, ("server/data/zh-TW/*.txt",), lines),
    Source("en", "movie-reviews", *NLTK, ("packages/corpora/movie_reviews.zip",), zipped_lines),
    Source("en", "pros_cons", *NLTK, ("packages/corpora/pros_cons.zip",), pros_and_cons),
    # Of the encyclopedia only a part, or it would drown what people say.
    Source("ar", "wikipedia-ar", *WIKIPEDIA, ("ar-arz/20170120/ar",), article_sentences, most=43_000),
    Source("ar", "wikipedia-arz", *WIKIPEDIA, ("ar-arz/20170120/arz",), article_sentences, most=14_000),
    Source("ar", "arsarcasm-tweets", *TWEETS, tweets),
    Source("ar", "ar-opinions", *TWEETS, labelled_tweets),
    Source("zh-Hant", "drcd", *DRCD, context_sentences),
    Source("zh", "cmrc2018", *CMRC, context_sentences),
    Source("en-ar", "tatoeba", TATOEBA, "ObadaZay/nmt", "e03a55a351e5", ("ara.txt",), translated_lines),
    Source("en-ar", "xquad", *XQUAD, (ENGLISH_QUESTIONS, "xquad.ar.json"), translated_questions),
    Source(
        "en-zh", "tatoeba", TATOEBA, "sunlanchang/Seq2Seq-for-NMT", "a7cfaa2a529d", ("data/cmn.txt",), translated_lines
    ),
    Source("en-zh", "xquad", *XQUAD, (ENGLISH_QUESTIONS, "xquad.zh.json"), translated_questions),
)


def matching(folder: Path, path: str) -> list[Path]:
    """The files that a path stands for; all that are in it, where it is a folder."""
    found = folder.glob(path) if "/" in path else folder.rglob(path)
    files = (inner for place in found for inner in (place.rglob("*") if place.is_dir() else [place]))
    return sorted(f for f in files if f.is_file() and not any(p.startswith(".") for p in f.relative_to(folder).parts))


def files_of(source: Source, downloads: Path) -> list[Path]:
    """The files to read. Raises `NoSource`, with what to fetch, where one is missing."""
    folder = downloads / source.folder
    found = {path: matching(folder, path) for path in source.paths}
    if missing := [path for path, files in found.items() if not files]:
        raise NoSource(
            f"{source.name} ({source.language}) is missing: no {', '.join(missing)} in {folder}. "
            f"Fetch https://github.com/{source.repository} at commit {source.commit} into it; {HOW}"
        )
    return [file for files in found.values() for file in files]


def sample(rows: list[tuple[str, ...]], most: int | None) -> list[tuple[str, ...]]:
    """At most so many rows, chosen by what they say, so the same each time; in their order."""
    if most is None or len(rows) <= most:
        return rows
    chosen = set(sorted(rows, key=lambda row: hashlib.sha256("\t".join(row).encode()).digest())[:most])
    return [row for row in rows if row in chosen]


def rows_from(source: Source, files: list[Path]) -> list[tuple[str, ...]]:
    """The rows of a source, each text or pair of texts once. Raises `NoSource` if a file is broken or all are empty."""
    found: dict[tuple[str, ...], tuple[str, ...]] = {}
    for path in files:
        with reading(path):
            for record in source.reader(path):
                row = source.row(record)
                if wanted(source.table, row):
                    found.setdefault(row[1:3] if source.table == "pairs" else row[-1:], row)
    if not found:
        raise NoSource(f"{source.name} ({source.language}): no texts in {', '.join(map(str, files[:3]))}; {HOW}")
    return sample(list(found.values()), source.most)


def read(downloads: Path) -> dict[str, list[tuple[str, ...]]]:
    """The rows of every file that is to be written. Raises `NoSource` with a line for each source that is missing."""
    files, missing = {}, []
    for source in SOURCES:
        try:
            files[source] = files_of(source, downloads)
        except NoSource as error:
            missing.append(str(error))
    if missing:
        raise NoSource("\n".join(missing))
    tables: dict[str, list[tuple[str, ...]]] = {name: [] for name in COLUMNS}
    for source in SOURCES:
        tables[source.table] += rows_from(source, files[source])
    return tables


def write(tables: dict[str, list[tuple[str, ...]]], folder: Path) -> list[Path]:
    """Writes the files beside their places, and moves them there when all are whole."""
    folder.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=folder, prefix=".") as beside:
        for name, rows in tables.items():
            with lzma.open(Path(beside, f"{name}.tsv.xz"), "wt", encoding="utf-8", newline="") as file:
                file.writelines("\t".join(row) + "\n" for row in (COLUMNS[name], *rows))
        return [path.replace(folder / path.name) for path in sorted(Path(beside).iterdir())]


def table() -> list[str]:
    """The sources, a line each, in columns."""
    rows = [("language", "name", "licence", "repository", "commit", "path")]
    rows += [(s.language, s.name, s.licence, s.repository, s.commit, " ".join(s.paths)) for s in SOURCES]
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    return ["  ".join(c.ljust(w) for c, w in zip(row, widths, strict=True)).rstrip() for row in rows]


def commands(downloads: str = "DOWNLOADS") -> list[str]:
    """What fetches every repository once, at its commit, and of its files only those that are read."""
    paths: dict[tuple[str, str, str], dict[str, None]] = {}
    for source in SOURCES:
        key = source.repository, source.commit, f"{downloads}/{source.folder}"
        paths.setdefault(key, {}).update(dict.fromkeys(source.paths))
    found = []
    for (repository, commit, folder), wanted_paths in paths.items():
        url = f"https://github.com/{repository}"
        found.append(shlex.join(["git", "clone", "--filter=blob:none", "--no-checkout", url, folder]))
        found.append(shlex.join(["git", "-C", folder, "sparse-checkout", "set", "--no-cone", *wanted_paths]))
        found.append(shlex.join(["git", "-C", folder, "checkout", "--detach", commit]))
    return found


def main(arguments: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(prog="python -m kit.sources", description=__doc__.splitlines()[0])
    parser.add_argument("downloads", metavar="DOWNLOADS", type=Path, nargs="?", help="the folder with what was fetched")
    parser.add_argument("folder", metavar="DIR", type=Path, nargs="?", help="the folder to write")
    options = parser.parse_args(arguments)
    if options.downloads is None:
        print("\n".join([*table(), "", *commands(), "python -m kit.sources DOWNLOADS DIR"]))
        return
    if options.folder is None:
        parser.error("DOWNLOADS is given, and DIR, the folder to write, is not")
    try:
        tables = read(options.downloads)
        for path in write(tables, options.folder):
            print(f"{path}: {len(tables[path.name.removesuffix('.tsv.xz')]):,}")
    except (NoSource, OSError) as error:
        sys.exit(str(error))


if __name__ == "__main__":
    main()
