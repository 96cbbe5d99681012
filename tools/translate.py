"""Keeps the notebooks of all languages in step with the English ones.

python -m tools.translate sync [--force] | check | report [--lang ar] [--chapter 05_trainer]
python -m tools.translate accept --lang ar --chapter 05_trainer [CELL ...]

python -m tools.translate outputs [--lang ar] [--chapter 05_trainer]

Cells are matched by their ids. Code comes from the English notebook, but for the value in the cell tagged `parameters`
and the strings in cells tagged `examples`; those and prose stay as the translator wrote them. Each keeps the hash of
the English that it was made from, so a change of the English makes it stale until the translator has looked at it and
accepts it. Prose tagged `own` may have other numbers and examples than the English: `outputs` lists what of them stands
in no stored output. `nbs/zh-Hant` is derived from `nbs/zh`, but for the cells that were mended by hand and accepted;
`sync --force` derives those anew that were changed and not accepted. Its messages are mended in
tools/messages-zh-Hant.json. Nothing is written before everything has been read and found sound.
"""

import argparse
import copy
import csv
import hashlib
import json
import re
import sys
import unicodedata
from collections import Counter
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import nbformat

from tools.address import ANYWHERE, addressed
from tools.conversion import converter
from tools.learn import write_notebook
from tools.markdown import fixed_parts, on_words, unwrap_rtl, words_only, wrap_rtl
from tools.own import EXAMPLES, OWN, api_spans, code_names, examples, tagged, ungrounded
from tools.settings import CATALOGUES, ROOT, chapters, languages, notebook, settings

KEY = "ftcourse"
SOURCE = "en"
BY_HAND = "by_hand"
TABLES = Path(__file__).parent
TODO, STALE, SAME, TRANSLATED = "to do", "stale", "the same on purpose", "translated"
CHANGED = "changed, not accepted: accept it (see TRANSLATING.md), or give it up with sync --force"
SCRIPTS = {"ar": "ARABIC", "zh": "CJK"}
FURTHER = "further"  # the cell of further reading, which each language has its own of
LEAST_SHARE = 0.6  # of a prose cell's letters, in the language's own script; names of things keep theirs


class NotebookError(ValueError):
    """A notebook that cannot be worked with: which one, what is wrong, what to do."""


@dataclass(frozen=True)
class Note:
    """What is to be said about a cell, or about a place in a file that is no notebook."""

    lang: str
    chapter: str
    cell: str
    text: str
    file: str = ""

    def __str__(self) -> str:
        return f"{self.file or f'nbs/{self.lang}/{self.chapter}.ipynb, cell'} {self.cell}: {self.text}"


def read(path: Path) -> nbformat.NotebookNode:
    """A notebook, after a look at what a careless edit breaks.

    Raises `NotebookError` for a file that is no notebook, and for cell ids that are missing or there twice.
    """
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
        cells = content["cells"]
        ids = [cell.get("id") for cell in cells]
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise NotebookError(f"{path}: not a notebook ({error}); restore it with git checkout") from None
    restore = "restore it from git: the id says which English cell it goes with"
    if None in ids:
        raise NotebookError(f"{path}: cell number {ids.index(None) + 1} has lost its id; {restore}")
    twice = [name for name, count in Counter(ids).items() if count > 1]
    if twice:
        raise NotebookError(f"{path}: two cells have the id {twice[0]}; delete one of them")
    return nbformat.reads(json.dumps(content), as_version=4)


def digest(text: str) -> str:
    """A short name for a text; spaces around it do not count, nor does where the course has its address.

    >>> digest("a") == digest(" a ") != digest("b")
    True
    """
    return hashlib.sha256(addressed(text.strip(), *ANYWHERE).encode()).hexdigest()[:12]


def listed(key: str) -> dict[str, str]:
    """The pairs `name:value` of a line of settings.ini."""
    return dict(pair.split(":") for pair in settings().get(key, "").split())


def code_for(cell: nbformat.NotebookNode, lang: str) -> str:
    """The source that an English code cell has in a language. A language without a kit yet takes another's examples."""
    if "parameters" not in cell.metadata.get("tags", []):
        return cell.source
    return re.sub(r'^(lang = )".*"', rf'\1"{listed("examples").get(lang, lang)}"', cell.source, flags=re.M)


def translatable(cell: nbformat.NotebookNode) -> bool:
    """Whether a language has its own text of this cell: prose, and examples."""
    return cell.cell_type == "markdown" or tagged(cell, EXAMPLES)


def prose(cell: nbformat.NotebookNode) -> str:
    """What the author of a cell wrote, without the tool's wrapping."""
    return unwrap_rtl(cell.source).strip("\n")


def stored(text: str, lang: str) -> str:
    return wrap_rtl(text) if lang in settings()["right_to_left"].split() else text


def state(cell: nbformat.NotebookNode, english: nbformat.NotebookNode) -> str:
    """How a cell of prose or examples stands to its English source."""
    notes = cell.metadata.get(KEY, {})
    if notes.get("src") != digest(english.source):
        return STALE
    if prose(cell) == english.source.strip("\n"):
        return SAME if notes.get("same") else TODO
    return TRANSLATED


def untouched(cell: nbformat.NotebookNode) -> bool:
    """Whether a cell is still the copy that the tool made, and not left in English on purpose."""
    notes = cell.metadata.get(KEY, {})
    return not notes.get("same") and digest(prose(cell)) == notes.get("src")


def new_cell(english: nbformat.NotebookNode, old: nbformat.NotebookNode | None, lang: str) -> nbformat.NotebookNode:
    """The cell that belongs beside an English one, from the one that is there."""
    cell = copy.deepcopy(english)
    if translatable(english):
        text, notes = english.source, {"src": digest(english.source)}
        if old is not None and not untouched(old):
            text, notes = prose(old), dict(old.metadata.get(KEY, notes))
        cell.source = stored(text, lang) if english.cell_type == "markdown" else text
        cell.metadata[KEY] = notes
    else:
        cell.source = code_for(english, lang)
    if english.cell_type == "code":
        same = old is not None and old.source == cell.source
        cell.outputs, cell.execution_count = (old.outputs if same else []), None
    return cell


def synced(lang: str, chapter: str, force: bool = False) -> tuple[nbformat.NotebookNode, list[Note]]:
    """The notebook as it should be, and what is to be said about its cells.

    Raises `NotebookError` where the one that is there cannot be worked with.
    """
    source, path = read(notebook(SOURCE, chapter)), notebook(lang, chapter)
    if lang in listed("derived"):
        return derived(lang, chapter, read(path) if path.exists() else None, force)
    old = {cell.id: cell for cell in read(path).cells} if path.exists() else {}
    for english in source.cells:
        if english.id in old and old[english.id].cell_type != english.cell_type:
            was, now = old[english.id].cell_type, english.cell_type
            raise NotebookError(f"{path}: cell {english.id} is {was}, in English {now}; change its type back")
    notes = [Note(lang, chapter, name, "no such cell in English") for name in old.keys() - {c.id for c in source.cells}]
    cells = [new_cell(english, old.get(english.id), lang) for english in source.cells]
    names = code_names(source)
    for english, cell in zip(source.cells, cells, strict=True):
        if translatable(english):
            notes += [Note(lang, chapter, cell.id, text) for text in complaints(cell, english, lang, names)]
        elif english.id in old and old[english.id].source != cell.source:
            notes.append(Note(lang, chapter, cell.id, "code is not that of the English cell"))
    return as_notebook(source, cells, lang), notes


def as_notebook(source: nbformat.NotebookNode, cells: list, lang: str) -> nbformat.NotebookNode:
    nb = copy.deepcopy(source)
    nb.cells = cells
    nb.metadata.pop("nbdev", None)
    nb.metadata[KEY] = {"lang": lang}
    return nb


def complaints(
    cell: nbformat.NotebookNode, english: nbformat.NotebookNode, lang: str, names: set[str] = frozenset()
) -> list[str]:
    """What keeps a cell from being a translation of the English one; `names` are those of the notebook's code."""
    found = state(cell, english)
    if found in (TODO, STALE):
        return [found]
    texts = faults(prose(cell), english, names)
    if english.cell_type == "markdown" and found == TRANSLATED and own_share(prose(cell), lang) < LEAST_SHARE:
        texts.append(f"less than {LEAST_SHARE:.0%} of its letters are in the language's script")
    return texts


def differences(text: str, english: nbformat.NotebookNode, names: set[str]) -> list[str]:
    """What must be the same in prose and in its English source, and is not."""
    source, here = fixed_parts(english.source), fixed_parts(text)
    free = {"links"} if english.id == FURTHER else set()
    if tagged(english, OWN):
        free |= {"numbers", "formulas"}
        source["code"], here["code"] = (Counter(api_spans(one, names)) for one in (english.source, text))
    return [
        f"{kind} differ: English has {dict(source[kind] - here[kind])}, here is {dict(here[kind] - source[kind])}"
        for kind in source
        if kind not in free and source[kind] != here[kind]
    ]


def other_examples(text: str, english: str) -> list[str]:
    """What is wrong with a language's own examples: they have the names of the English ones, and are of their kinds."""
    try:
        wanted = examples(english)
    except ValueError:
        return []  # said of the English cell
    try:
        found = examples(text)
    except ValueError as error:
        return [str(error)]
    if list(found.items()) != list(wanted.items()):
        return [f"assigns {found}, in English {wanted}: the same names in the same order, of the same kinds"]
    return []


def unsound_examples(chapter: str) -> list[Note]:
    """English cells tagged `examples` that do more than such a cell may."""
    notes = []
    for cell in read(notebook(SOURCE, chapter)).cells:
        if cell.cell_type == "code" and tagged(cell, EXAMPLES):
            try:
                examples(cell.source)
            except ValueError as error:
                notes.append(Note(SOURCE, chapter, cell.id, str(error)))
    return notes


def own_share(text: str, lang: str) -> float:
    """The share of letters that are of the language's script, code and names of the kind `BertModel` aside.

    >>> own_share("一个 Trainer 词 and", "zh")
    0.5
    """
    words = re.sub(r"\b[A-Z][A-Za-z]*\b", "", words_only(text))
    letters = [unicodedata.name(letter, "") for letter in words if letter.isalpha()]
    script = SCRIPTS.get(lang, "")
    return sum(name.startswith(script) for name in letters) / len(letters) if letters else 1.0


def in_other_script(text: str, conversion: str) -> str:
    """The text in the other script, with what OpenCC gets wrong mended by the table of this conversion, if any."""
    return converter(conversion, Path(__file__).parent / f"{conversion}.tsv")(text)


def base_of(lang: str) -> str:
    """The language that a derived one comes from."""
    return listed("derived")[lang].split("/")[0]


def conversion(cell: nbformat.NotebookNode, lang: str) -> str:
    """A cell's text in the script of a derived language."""
    change = partial(in_other_script, conversion=listed("derived")[lang].split("/")[1])
    return on_words(change, prose(cell)) if cell.cell_type == "markdown" else change(cell.source)


def derived(
    lang: str, chapter: str, old: nbformat.NotebookNode | None, force: bool = False
) -> tuple[nbformat.NotebookNode, list[Note]]:
    """A notebook converted from another language's, prose and examples; and what is to be said about its cells."""
    source, english = synced(base_of(lang), chapter)[0], read(notebook(SOURCE, chapter))
    names, originals = code_names(english), {cell.id: cell for cell in english.cells}
    before, cells = {cell.id: cell for cell in old.cells} if old else {}, []
    gone = [name for name, cell in before.items() if name not in originals and is_by_hand(cell)]
    notes = [Note(lang, chapter, name, "no such cell in English") for name in gone]
    for origin in source.cells:
        cell, was = copy.deepcopy(origin), before.get(origin.id)
        if translatable(origin):
            text, cell.metadata[KEY], texts = mended(origin, was, lang, force)
            cell.source = stored(text, lang) if cell.cell_type == "markdown" else text
            if BY_HAND in cell.metadata[KEY]:
                texts = texts or faults(text, originals[cell.id], names)
            notes += [Note(lang, chapter, cell.id, one) for one in texts]
        else:
            cell.source = code_for(cell, lang)
        if cell.cell_type == "code":
            cell.outputs = was.outputs if was is not None and was.source == cell.source else []
        cells.append(cell)
    return as_notebook(source, cells, lang), notes


def is_by_hand(cell: nbformat.NotebookNode) -> bool:
    """Whether a derived cell is not what the conversion gave."""
    notes = cell.metadata.get(KEY, {})
    return BY_HAND in notes or notes.get("src", digest(prose(cell))) != digest(prose(cell))


def mended(
    origin: nbformat.NotebookNode, was: nbformat.NotebookNode | None, lang: str, force: bool
) -> tuple[str, dict, list[str]]:
    """A derived cell's text and notes, and what is to be said about it.

    What was mended by hand and accepted stays. So does what was changed and not accepted, unless `force`.
    """
    text = conversion(origin, lang)
    kept = was.metadata.get(KEY, {}) if was is not None and was.cell_type == origin.cell_type else {}
    if BY_HAND in kept:
        return prose(was), dict(kept), [] if kept[BY_HAND] == digest(prose(origin)) else [STALE]
    if "src" in kept and prose(was) != text.strip("\n") and digest(prose(was)) != kept["src"] and not force:
        return prose(was), dict(kept), [CHANGED]
    return text, {"src": digest(text)}, []


def faults(text: str, english: nbformat.NotebookNode, names: set[str]) -> list[str]:
    """What must be as in the English cell, and is not."""
    if english.cell_type == "code":
        return other_examples(text, english.source)
    return differences(text, english, names)


def text_of(nb: nbformat.NotebookNode) -> list:
    return [nb.metadata, *((cell.id, cell.cell_type, cell.source, cell.metadata) for cell in nb.cells)]


def catalogues(lang: str) -> tuple[dict[Path, str], list[Note]]:
    """The message files that a derived language should have, with their content; and what is to be said about them.

    Messages are converted, but for those in the table of the ones mended by hand.
    """
    base, way = listed("derived")[lang].split("/")
    table = TABLES / f"messages-{lang}.json"
    by_hand = json.loads(table.read_text(encoding="utf-8")) if table.exists() else {}
    files, notes = {}, []
    for path in sorted((CATALOGUES / base).glob("*.json")):
        texts = json.loads(path.read_text(encoding="utf-8"))
        converted = {
            key: re.sub(r"[^{}]+(?![^{]*})", lambda m: in_other_script(m[0], way), text) for key, text in texts.items()
        }
        for key, entry in by_hand.pop(path.stem, {}).items():
            place = partial(Note, lang, path.stem, f"{path.stem}, {key}", file=f"tools/{table.name},")
            if key not in texts:
                notes.append(place(f"no such message in {base}"))
                continue
            converted[key] = entry["text"]
            if entry["src"] != digest(texts[key]):
                notes.append(place(f'stale; look at it, then set its src to "{digest(texts[key])}"'))
        files[CATALOGUES / lang / path.name] = json.dumps(converted, ensure_ascii=False, indent=2) + "\n"
    notes += [Note(lang, name, name, f"no such file in {base}", f"tools/{table.name},") for name in by_hand]
    return files, notes


def sync(langs: list[str], names: list[str], force: bool = False) -> list[Note]:
    """Writes what is out of step. Returns what is left for a translator.

    With `force`, cells of derived languages that were changed and not accepted are derived anew.
    """
    notes, books, files = [note for chapter in names for note in unsound_examples(chapter)], {}, {}
    for lang in langs:
        for chapter in names:
            books[notebook(lang, chapter)], found = synced(lang, chapter, force)
            notes += found
        if lang in listed("derived"):
            texts, found = catalogues(lang)
            files, notes = files | texts, notes + found
    for path, nb in books.items():
        if not path.exists() or text_of(read(path)) != text_of(nb):
            write_notebook(nb, path)
    for path, content in files.items():
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(content, encoding="utf-8")
    return notes


def check(langs: list[str], names: list[str]) -> list[Note]:
    """Everything that is not as it should be; nothing is written."""
    notes = [note for chapter in names for note in unsound_examples(chapter)]
    for lang in langs:
        for chapter in names:
            nb, found = synced(lang, chapter)
            path = notebook(lang, chapter)
            if not found and (not path.exists() or text_of(read(path)) != text_of(nb)):
                found = [Note(lang, chapter, "any", "out of step; run python -m tools.translate sync")]
            notes += found
        if lang in listed("derived"):
            texts, found = catalogues(lang)
            stale = [path for path, text in texts.items() if not path.exists() or path.read_text("utf-8") != text]
            file = f"ftcourse/catalogues/{lang},"
            notes += found
            notes += [Note(lang, path.stem, "any", f"{path.name} is out of step; run sync", file) for path in stale]
    return notes


def accept(lang: str, chapter: str, ids: list[str]) -> int:
    """The translator says that these cells (all, where none is named) go with their source as it is now.

    The source is the English notebook. For a derived language it is the one that it comes from, and the cells are those
    that were changed or mended by hand; one that is as the conversion gives it is derived again from now on.
    """
    by_hand = lang in listed("derived")
    nb = read(notebook(lang, chapter))
    source = synced(base_of(lang), chapter)[0] if by_hand else read(notebook(SOURCE, chapter))
    origins = {cell.id: cell for cell in source.cells if translatable(cell)}
    unknown = set(ids) - {cell.id for cell in nb.cells if cell.id in origins}
    if unknown:
        raise NotebookError(
            f"{notebook(lang, chapter)}: no cell of prose or examples {', '.join(sorted(unknown))} that goes with one "
            "of the source"
        )
    chosen = [cell for cell in nb.cells if cell.id in origins and (not ids or cell.id in ids)]
    if by_hand and not ids:
        chosen = [cell for cell in chosen if mended(origins[cell.id], cell, lang, False)[2]]
    for cell in chosen:
        origin = origins[cell.id]
        if by_hand:
            text = conversion(origin, lang)
            notes = {"src": digest(text)} if digest(prose(cell)) == digest(text) else {BY_HAND: digest(prose(origin))}
        else:
            notes = {"src": digest(origin.source)} | (
                {"same": True} if prose(cell) == origin.source.strip("\n") else {}
            )
        cell.metadata[KEY] = notes
        if cell.cell_type == "markdown":
            cell.source = stored(prose(cell), lang)
    write_notebook(nb, notebook(lang, chapter))
    return len(chosen)


def off_screen(langs: list[str], names: list[str]) -> list[Note]:
    """Own prose that speaks of numbers or tokens which stand in no stored output above it, in its own notebook."""
    books = [(lang, chapter) for lang in langs for chapter in names]
    return [
        Note(lang, chapter, *found) for lang, chapter in books for found in ungrounded(read(notebook(lang, chapter)))
    ]


def glossary() -> list[dict[str, str]]:
    """The terms, by language."""
    with open(ROOT / "GLOSSARY.csv", encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


def stem(text: str, lang: str) -> str:
    """Text for looking up terms: without what a dictionary form lacks, that is vowel signs, articles and brackets.

    >>> stem("الضَّبط الدقيق (fine-tuning)", "ar")
    'ضبط دقيق'
    """
    text = re.sub(r"[(（][^)）]*[)）]", "", text)
    if lang == "ar":
        text = re.sub("[\u064b-\u0652\u0640]", "", text)
        text = re.sub(r"\b[وفبك]?ال|\bلل", "", text)
        text = re.sub("[أإآ]", "ا", text)
    return " ".join(text.split())


def deviations(english: str, text: str, lang: str) -> list[str]:
    """Terms of the glossary that the English has and the translation lacks; those inside longer ones do not count."""
    english = words_only(english).lower()
    found = stem(words_only(text), lang).lower()
    missing = []
    for term in sorted(glossary(), key=lambda term: len(term[SOURCE]), reverse=True):
        english, uses = re.subn(rf"\b{re.escape(term[SOURCE].lower())}s?\b", " ", english)
        own = stem(term.get(lang) or "", lang).lower()
        parts = [part[: max(3, len(part) - 1)] if lang == "ar" else part for part in own.split()]
        if uses and not all(part in found for part in parts):
            missing.append(term[SOURCE])
    return missing


def report(langs: list[str], names: list[str]) -> str:
    """How far each chapter is in each language, and where its terms are others than the glossary's."""
    lines = [f"{'language':9} {'chapter':14} translated  same  stale  to do"]
    terms = []
    for lang in langs:
        for chapter in names:
            nb = synced(lang, chapter)[0]
            english = {cell.id: cell for cell in read(notebook(SOURCE, chapter)).cells}
            cells = [cell for cell in nb.cells if translatable(cell)]
            if lang in listed("derived"):
                lines.append(
                    f"{lang:9} {chapter:14} {len(cells):10}  {sum(BY_HAND in c.metadata[KEY] for c in cells)} by hand"
                )
            else:
                counts = Counter(state(cell, english[cell.id]) for cell in cells)
                numbers = f"{counts[TRANSLATED]:10}  {counts[SAME]:4}  {counts[STALE]:5}  {counts[TODO]:5}"
                lines.append(f"{lang:9} {chapter:14} {numbers}")
            for cell in cells:
                as_english = lang not in listed("derived") and state(cell, english[cell.id]) != TRANSLATED
                if cell.cell_type == "markdown" and not as_english:
                    missing = deviations(english[cell.id].source, prose(cell), lang)
                    terms += [Note(lang, chapter, cell.id, f"another word for: {', '.join(missing)}")] * bool(missing)
    return "\n".join([*lines, *map(str, terms)])


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description="Keep the translated notebooks in step with the English ones.")
    parser.add_argument("command", choices=("sync", "check", "accept", "report", "outputs"))
    parser.add_argument("--lang", default="", help="one language only, e.g. ar")
    parser.add_argument("--chapter", default="", help="one chapter only, e.g. 05_trainer")
    parser.add_argument("--force", action="store_true", help="for sync: derive anew what was changed, not accepted")
    parser.add_argument("cells", nargs="*", help="for accept: cell ids; all cells where none is given")
    options = parser.parse_intermixed_args(arguments)
    langs = [options.lang] if options.lang else [lang for lang in languages() if lang != SOURCE]
    names = [options.chapter] if options.chapter else chapters()
    try:
        if options.command == "report":
            print(report(langs, names))
            return 0
        if options.command == "accept":
            if not (options.lang and options.chapter):
                raise NotebookError("accept needs --lang and --chapter")
            print(f"{accept(options.lang, options.chapter, options.cells)} cells accepted")
            return 0
        if options.command == "outputs":
            notes = off_screen(langs if options.lang else languages(), names)
        else:
            notes = sync(langs, names, options.force) if options.command == "sync" else check(langs, names)
    except ValueError as error:
        print(error, file=sys.stderr)
        return 2
    print("\n".join(map(str, notes)) or f"{len(langs)} languages, {len(names)} chapters: in step")
    return int(bool(notes) and options.command != "sync")


if __name__ == "__main__":
    sys.exit(main())
