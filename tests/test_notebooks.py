"""The notebooks: in step with the package, clean, well-formed, and running."""

import ast
import filecmp
import re
import shutil
import subprocess
import sys
from pathlib import Path

import nbformat
import pytest
from IPython.core.inputtransformer2 import TransformerManager

from tests.test_exercises import solved, verdicts
from tools.count_teaching import exported_lines
from tools.learn import key_figure, run_notebook
from tools.links import broken_links, relative_links
from tools.markdown import unwrap_rtl
from tools.own import EXAMPLES, tagged
from tools.settings import ROOT, chapters, languages, notebook

NOTEBOOKS = [(lang, chapter) for lang in languages() for chapter in chapters()]
LONG = (
    "02_tokenizer",
    "04_model",
    "05_trainer",
    "06_loop",
    "08_own_data",
    "09_sharing",
    "10_keras",
    "11_sound",
    "13_adapters",
)
BIN = Path(sys.executable).parent


def read(lang: str, chapter: str) -> nbformat.NotebookNode:
    return nbformat.read(notebook(lang, chapter), as_version=4)


def code_cells(nb) -> list:
    return [cell for cell in nb.cells if cell.cell_type == "code"]


@pytest.fixture
def copy(tmp_path):
    """The parts of the project that nbdev reads and writes, to be worked on."""
    shutil.copy(ROOT / "pyproject.toml", tmp_path)
    shutil.copytree(ROOT / "nbs", tmp_path / "nbs")
    shutil.copytree(ROOT / "ftcourse", tmp_path / "ftcourse", ignore=shutil.ignore_patterns("assets", "__pycache__"))
    return tmp_path


def differing(first: Path, second: Path, pattern: str) -> list[str]:
    """Files under two folders that are not the same; both must have some."""
    names = sorted({p.relative_to(root).as_posix() for root in (first, second) for p in root.rglob(pattern)})
    names = [name for name in names if "__pycache__" not in name and ".ipynb_checkpoints" not in name]
    assert names
    return [name for name in names if not same(first / name, second / name)]


def same(first: Path, second: Path) -> bool:
    return first.is_file() and second.is_file() and filecmp.cmp(first, second, shallow=False)


def export_differences(project: Path) -> list[str]:
    subprocess.run([BIN / "nbdev-export"], cwd=project, check=True, capture_output=True)
    return differing(ROOT / "ftcourse", project / "ftcourse", "*.py")


def unclean(project: Path, original: Path) -> list[str]:
    subprocess.run([BIN / "nbdev-clean", "--fname", "nbs"], cwd=project, check=True, capture_output=True)
    return differing(original, project / "nbs", "*.ipynb")


def test_modules_are_what_the_notebooks_export(copy):
    assert [name for name in export_differences(copy) if not name.startswith("assets/")] == []


def test_a_change_in_a_notebook_shows_in_its_module(copy):
    path = copy / "nbs/en/00_start.ipynb"
    path.write_text(path.read_text(encoding="utf-8").replace("def on_hub(", "def at_hub("), encoding="utf-8")
    assert "kit.py" in export_differences(copy)


def test_notebooks_are_clean(copy):
    assert unclean(copy, ROOT / "nbs") == []


def test_an_unclean_notebook_is_found(copy, tmp_path_factory):
    path = copy / "nbs/en/00_start.ipynb"
    nb = nbformat.read(path, as_version=4)
    code_cells(nb)[0].execution_count = 7
    nbformat.write(nb, path)
    original = tmp_path_factory.mktemp("original") / "nbs"
    shutil.copytree(copy / "nbs", original)
    assert unclean(copy, original) == ["en/00_start.ipynb"]


@pytest.mark.parametrize(("lang", "chapter"), NOTEBOOKS)
def test_form(lang, chapter):
    nb = read(lang, chapter)
    assert nb.cells[0].cell_type == "markdown" and re.match(r"# .+\n\n> .+", unwrap_rtl(nb.cells[0].source))
    assert "find_spec" in nb.cells[1].source
    assert nb.cells[2].metadata.tags == ["parameters"] and nb.cells[2].source == f'lang = "{lang}"'
    assert "image/png" in str([cell.outputs for cell in code_cells(nb)])


def headings(nb) -> list[str]:
    sources = [unwrap_rtl(cell.source) for cell in nb.cells if cell.cell_type == "markdown"]
    return [line for source in sources for line in re.findall(r"^## (.+)", source, re.M)]


def ends_well(found: list[str]) -> bool:
    """Whether the last headings are those that CONTRIBUTING.md asks for; a quiz may stand elsewhere."""
    return [name for name in found[-4:] if name != "Quiz"][-3:] == ["Summary", "Exercises", "Further reading"]


@pytest.mark.parametrize("chapter", chapters())
def test_the_end_of_a_chapter(chapter):
    found = headings(read("en", chapter))
    assert ends_well(found), found[-4:]


def test_a_quiz_of_its_own_is_no_must():
    assert ends_well(["Loss", "Summary", "Exercises", "Further reading"])
    assert ends_well(["Summary", "Quiz", "Exercises", "Further reading"])
    assert not ends_well(["Summary", "Exercises", "Quiz"]) and not ends_well(["Exercises", "Further reading"])


def missing_form(chapter: str, nb, names: list[str]) -> list[str]:
    """What a chapter lacks of the form in CONTRIBUTING.md, besides its headings; `names` are all chapters."""
    place = names.index(chapter)
    neighbours = [names[other] for other in (place - 1, place + 1) if 0 <= other < len(names)]
    links = relative_links(unwrap_rtl(nb.cells[-1].source))
    ids = [cell.id for cell in nb.cells]
    exercises = [cell.source for cell in nb.cells if re.fullmatch(r"exercise-\d+", cell.id)]
    wanted = {
        "links to the chapters before and after it, in the last cell": {f"{name}.ipynb" for name in neighbours}
        <= {*links},
        "no more than 130 cells": len(nb.cells) <= 130,
        "no more than 150 exported lines": exported_lines(nb) <= 150,
        "a cell tagged examples, or one that invites something of the reader's own (id yours, or yours-...)": any(
            tagged(cell, EXAMPLES) or re.fullmatch(r"yours(-.+)?", cell.id) for cell in nb.cells
        ),
        "an open exercise (id open-1)": "open-1" in ids,
        "an exercise with a hint (<details> in the cell exercise-N)": any("<details>" in text for text in exercises),
    }
    return [what for what, there in wanted.items() if not there]


@pytest.mark.parametrize("chapter", chapters())
def test_a_chapter_has_all_that_its_form_asks_for(chapter):
    assert missing_form(chapter, read("en", chapter), chapters()) == []


def test_what_is_missing_of_the_form_is_named():
    cells = [
        nbformat.v4.new_code_cell("text = 'a'", metadata={"tags": ["examples"]}),
        nbformat.v4.new_markdown_cell("<details><summary>Hint</summary>Look.</details>", id="exercise-1"),
        nbformat.v4.new_markdown_cell("Think.", id="open-1"),
        nbformat.v4.new_markdown_cell("[back](a.ipynb) [on](c.ipynb)"),
    ]
    assert missing_form("b", nbformat.v4.new_notebook(cells=cells), ["a", "b", "c"]) == []
    long = [
        nbformat.v4.new_code_cell("#| export\n" + "x = 1\n" * 151),
        *(nbformat.v4.new_markdown_cell("a") for _ in range(130)),
    ]
    assert len(missing_form("b", nbformat.v4.new_notebook(cells=long), ["a", "b", "c"])) == 6


@pytest.mark.parametrize(("lang", "chapter"), NOTEBOOKS)
def test_stored_outputs(lang, chapter):
    cells = code_cells(read(lang, chapter))
    outputs = [output for cell in cells for output in cell.outputs]
    assert outputs
    text = str(
        [
            {k: v for k, v in output.items() if k != "data"} | {"data": str(output.get("data", {}).get("text/plain"))}
            for output in outputs
        ]
    )
    assert not [output for output in outputs if output.output_type == "error"]
    assert not re.search(r"Deprecat|FutureWarning|it/s\]|/home/|/root/|/Users/", text)
    shown = [{cell.id for cell in code_cells(read(one, chapter)) if cell.outputs} for one in ("en", lang)]
    assert shown[0] == shown[1]  # a cell whose code has changed loses its output: run the chapter again


@pytest.mark.parametrize(("lang", "chapter"), NOTEBOOKS)
def test_imports_stand_apart(lang, chapter):
    transform = TransformerManager().transform_cell
    for cell in code_cells(read(lang, chapter))[1:]:
        body = ast.parse(transform(cell.source)).body
        imports = [isinstance(node, (ast.Import, ast.ImportFrom)) for node in body]
        assert all(imports) or not any(imports), cell.id


def test_chapters_import_only_earlier_ones():
    modules = {"exercises": "", "engine": "", "room": ""}  # below the lessons: every chapter may use them
    for chapter in chapters():
        nb = read("en", chapter)
        modules[nb.metadata.nbdev.default_exp] = chapter
        for cell in code_cells(nb):
            for module in re.findall(r"^\s*(?:from|import) ftcourse\.(\w+)", cell.source, re.M):
                assert module in modules, f"{chapter} imports {module}, which no earlier chapter exports"
    assert len(modules) == len(chapters()) + 3


@pytest.mark.parametrize("chapter", chapters())
def test_every_exported_name_is_typed_described_and_used(chapter):
    nb = read("en", chapter)
    module = ast.parse((ROOT / "ftcourse" / f"{nb.metadata.nbdev.default_exp}.py").read_text(encoding="utf-8"))
    exported = [node for node in module.body if isinstance(node, (ast.FunctionDef, ast.ClassDef))]
    code = "\n".join(cell.source for name in chapters() for cell in code_cells(read("en", name)))
    assert exported
    for node in exported:
        assert ">>> " in (ast.get_docstring(node) or ""), f"{node.name} has no example"
        assert len(re.findall(rf"\b{node.name}\b", code)) > 1, f"{node.name} is not used"
        if isinstance(node, ast.FunctionDef):
            arguments = node.args.args + node.args.kwonlyargs
            assert node.returns and all(argument.annotation for argument in arguments), f"{node.name} lacks type hints"


def waits(lang: str, chapter: str) -> bool:
    """Whether only `make test-long` runs a chapter in a language. `make test` runs a long one in one language, which
    take turns, and a short one in English and one more: so it ends within 25 minutes.

    The code is the same to the byte in all of them.
    """
    if chapter in LONG:
        return lang != languages()[LONG.index(chapter) % len(languages())]
    others = [name for name in languages() if name != "en"]
    return lang not in ("en", others[chapters().index(chapter) % len(others)])


def when_due(lang: str, chapter: str):
    """The parameters of a test, marked where it is a long one."""
    return pytest.param(lang, chapter, marks=[pytest.mark.long] if waits(lang, chapter) else [])


def test_each_chapter_runs_and_each_language_has_long_ones():
    run = [(lang, chapter) for lang, chapter in NOTEBOOKS if not waits(lang, chapter)]
    assert {*LONG} < {*chapters()} == {chapter for _, chapter in run}
    assert {("en", chapter) for chapter in chapters() if chapter not in LONG} < {*run}
    for lang in languages():
        assert len([chapter for language, chapter in run if language == lang and chapter in LONG]) >= 2, lang


@pytest.mark.parametrize(("lang", "chapter"), [when_due(*names) for names in NOTEBOOKS])
def test_every_cell_runs_without_network_and_every_solution_passes(lang, chapter, guarded):
    nb = solved(read(lang, chapter))
    run_notebook(nb, guarded, extra_path=str(guarded / "site"))
    assert not (guarded / "network.log").exists(), (guarded / "network.log").read_text()
    assert all(cell.execution_count for cell in code_cells(nb))
    assert all(verdict.startswith("✓") for verdict in verdicts(nb))
    if chapter == "05_trainer":
        assert key_figure(nb)


@pytest.mark.parametrize(("lang", "chapter"), NOTEBOOKS)
def test_links_lead_somewhere(lang, chapter):
    assert [str(note) for note in broken_links(lang, chapter)] == []
    links = [link for cell in read(lang, chapter).cells for link in relative_links(unwrap_rtl(cell.source))]
    assert links


def test_a_failing_cell_is_found(tmp_path):
    nb = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell("assert 1 == 2, 'one is not two'")])
    with pytest.raises(Exception, match="one is not two"):
        run_notebook(nb, tmp_path)
