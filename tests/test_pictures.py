"""Pictures: words in every language, a description for those who cannot see them, letters of every script."""

import ast
import json
import re

import matplotlib.pyplot as plt
import nbformat
import pytest
from matplotlib.font_manager import FontProperties, findfont, get_font

from ftcourse.engine.messages import CATALOGUES
from ftcourse.engine.plots import Pictures
from tools.settings import chapters, languages, notebook


def words(lang: str, chapter: str) -> dict[str, str]:
    return json.loads((CATALOGUES / lang / f"{chapter}.pictures.json").read_text(encoding="utf-8"))


def shown(nb) -> set[str]:
    """The names of the pictures that the cells of a notebook show."""
    calls = [node for cell in nb.cells if cell.cell_type == "code" for node in calls_of(cell.source)]
    return {call.args[1].value for call in calls if getattr(call.func, "id", "") == "show"}


def calls_of(source: str) -> list[ast.Call]:
    source = re.sub(r"^(\s*)[%!].*", r"\1pass", source, flags=re.M)
    return [node for node in ast.walk(ast.parse(source)) if isinstance(node, ast.Call)]


def read(lang: str, chapter: str):
    return nbformat.read(notebook(lang, chapter), as_version=4)


@pytest.mark.parametrize("chapter", chapters())
def test_every_picture_has_its_words_and_every_word_its_picture(chapter):
    pictures, known = shown(read("en", chapter)), words("en", chapter)
    assert pictures
    assert [name for name in pictures if f"{name}.alt" not in known] == []
    source = "\n".join(cell.source for cell in read("en", chapter).cells)
    spoken = {key for key in known if key.split(".")[0] not in pictures and key.split(".")[0] not in source}
    assert spoken == set()


@pytest.mark.parametrize("lang", languages())
@pytest.mark.parametrize("chapter", chapters())
def test_every_stored_picture_has_a_description(lang, chapter):
    cells = [cell for cell in read(lang, chapter).cells if cell.cell_type == "code"]
    outputs = [output for cell in cells for output in cell.outputs if "image/png" in output.get("data", {})]
    assert outputs
    assert all(len(output.metadata["image/png"]["alt"]) > 10 for output in outputs)


def test_a_picture_gets_its_words_and_is_closed(capsys):
    show = Pictures("ar", "00_start")
    axes = plt.figure().add_subplot()
    assert plt.get_fignums()
    show(axes, "stars")
    assert axes.get_title() == words("ar", "00_start")["stars.title"]
    assert axes.get_xlabel() == words("ar", "00_start")["stars.x"]
    assert not plt.get_fignums()


def test_words_that_are_not_there_are_named():
    with pytest.raises(KeyError, match="no words 'nothing' for pictures; known: "):
        Pictures("en", "00_start").word("nothing")


@pytest.mark.parametrize(("lang", "letters"), [("zh", "评论"), ("zh-Hant", "評論"), ("ar", "نجوم"), ("en", "stars")])
def test_the_fonts_have_the_letters_of_the_language(lang, letters):
    Pictures(lang, "00_start")
    fonts = [get_font(findfont(FontProperties(family=[name]))) for name in plt.rcParams["font.family"]]
    assert all(any(font.get_char_index(ord(letter)) for font in fonts) for letter in letters)
