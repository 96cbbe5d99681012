"""Links of the notebooks to other files of the course."""

import re
from pathlib import Path
from urllib.parse import unquote

from tools.markdown import CODE, FENCE, LINK
from tools.settings import notebook
from tools.translate import Note, prose, read


def relative_links(text: str) -> list[str]:
    """Addresses in markdown that are places beside it: not on the web, and not in the page itself.

    >>> relative_links("[one](05_trainer.ipynb), [two](https://a.org), <a href='glossary.md#loss'>three</a>")
    ['05_trainer.ipynb', 'glossary.md#loss']
    """
    text = CODE.sub("", FENCE.sub("", text))
    found = [match["address"] for match in LINK.finditer(text) if match["address"]]
    found += re.findall(r"""(?:href|src)=["']([^"']+)["']""", text)
    return [address for address in found if not re.match(r"[a-z][a-z+.-]*:|#", address)]


def anchors(text: str) -> set[str]:
    """Names in markdown that a link can lead to.

    >>> anchors('<a id="loss"></a>')
    {'loss'}
    """
    return set(re.findall(r"""<a id=["']([^"']+)["']""", text))


def broken(address: str, folder: Path) -> str:
    """What is wrong with a relative address in a file of `folder`; nothing, where it leads somewhere."""
    name, _, anchor = unquote(address).partition("#")
    path = folder / name
    if not path.is_file():
        return f"{address} leads nowhere: there is no file {name}"
    if path.suffix == ".md" and anchor and anchor not in anchors(path.read_text(encoding="utf-8")):
        return f"{address} leads nowhere: {name} has no {anchor}"
    return ""


def broken_links(lang: str, chapter: str) -> list[Note]:
    """The links of a notebook that lead nowhere in the course."""
    path = notebook(lang, chapter)
    cells = [cell for cell in read(path).cells if cell.cell_type == "markdown"]
    found = [(cell.id, broken(link, path.parent)) for cell in cells for link in relative_links(prose(cell))]
    return [Note(lang, chapter, name, text) for name, text in found if text]
