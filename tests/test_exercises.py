"""Quizzes and exercises: complete, solvable, and answered in words."""

import ast
import json
import re

import nbformat
import pytest

from ftcourse.engine.messages import CATALOGUES, catalogue, message
from ftcourse.exercises import Checker
from tools.markdown import unwrap_rtl
from tools.settings import chapters, languages, notebook

NOTEBOOKS = [(lang, chapter) for lang in languages() for chapter in chapters()]
OPTION = re.compile(r"<details><summary>([A-Z])\. .+?</summary>([✓✗]) (.+)</details>")
SOLUTION = re.compile(r"<details><summary>[^<]+</summary>\n\n```python\n(.+?)```\n.*?</details>", re.S)


def cells(lang: str, chapter: str) -> dict[str, nbformat.NotebookNode]:
    found = nbformat.read(notebook(lang, chapter), as_version=4).cells
    for cell in found:
        cell.source = unwrap_rtl(cell.source)
    return {cell.id: cell for cell in found}


def numbered(by_id: dict, kind: str) -> list[int]:
    return [int(name.removeprefix(f"{kind}-")) for name in by_id if re.fullmatch(rf"{kind}-\d+", name)]


def conditions(check: nbformat.NotebookNode) -> tuple[int, list[str]]:
    """The exercise's number and the names of its conditions, as a checking cell has them."""
    calls = [node for node in ast.walk(ast.parse(check.source)) if isinstance(node, ast.Call)]
    call = next(call for call in calls if getattr(call.func, "id", "") == "check")
    return call.args[0].value, [keyword.arg for keyword in call.keywords]


def solved(nb: nbformat.NotebookNode) -> nbformat.NotebookNode:
    """The notebook with each stub replaced by the folded solution."""
    by_id = {cell.id: cell for cell in nb.cells}
    for number in numbered(by_id, "exercise"):
        [solution] = SOLUTION.findall(unwrap_rtl(by_id[f"solution-{number}"].source))
        by_id[f"answer-{number}"].source = solution
    return nb


def verdicts(nb: nbformat.NotebookNode) -> list[str]:
    found = [cell.outputs[-1]["data"]["text/plain"] for cell in nb.cells if re.fullmatch(r"check-\d+", cell.id)]
    assert found
    return found


@pytest.mark.parametrize(("lang", "chapter"), NOTEBOOKS)
def test_quiz_has_one_right_answer_a_question(lang, chapter):
    by_id = cells(lang, chapter)
    questions = [by_id[f"quiz-{n}"].source for n in numbered(by_id, "quiz")]
    assert 3 <= len(questions) <= 5
    for question in questions:
        options = OPTION.findall(question)
        assert question.count("<details>") == len(options) >= 3, question
        assert [letter for letter, _, _ in options] == list("ABCDEF"[: len(options)])
        assert [mark for _, mark, _ in options].count("✓") == 1, question


@pytest.mark.parametrize("chapter", chapters())
def test_right_answers_stand_in_different_places(chapter):
    by_id = cells("en", chapter)
    places = {
        [mark for _, mark, _ in OPTION.findall(by_id[f"quiz-{n}"].source)].index("✓") for n in numbered(by_id, "quiz")
    }
    assert len(places) > 1


@pytest.mark.parametrize(("lang", "chapter"), NOTEBOOKS)
def test_exercises_are_complete(lang, chapter):
    by_id = cells(lang, chapter)
    numbers = numbered(by_id, "exercise")
    assert 2 <= len(numbers) <= 4
    for number in numbers:
        assert re.fullmatch(r"\w+ = \.\.\.", by_id[f"answer-{number}"].source)
        assert conditions(by_id[f"check-{number}"])[0] == number
        assert len(SOLUTION.findall(by_id[f"solution-{number}"].source)) == 1


@pytest.mark.parametrize("chapter", chapters())
def test_each_condition_has_its_message_and_each_message_its_condition(chapter):
    by_id = cells("en", chapter)
    checks = [conditions(by_id[f"check-{number}"]) for number in numbered(by_id, "exercise")]
    assert {f"{n}.{name}" for n, names in checks for name in names} == set(catalogue("en", chapter))


def test_all_languages_have_the_same_messages():
    english = {path.name: json.loads(path.read_text(encoding="utf-8")) for path in (CATALOGUES / "en").glob("*.json")}
    assert len(english) > len(chapters())
    assert {folder.name for folder in CATALOGUES.iterdir()} == set(languages())
    for folder in CATALOGUES.iterdir():
        for name, texts in english.items():
            others = json.loads((folder / name).read_text(encoding="utf-8"))
            placeholders = {key: sorted(re.findall(r"{(\w+)}", text)) for key, text in texts.items()}
            assert {key: sorted(re.findall(r"{(\w+)}", text)) for key, text in others.items()} == placeholders


@pytest.mark.parametrize(("lang", "chapter"), NOTEBOOKS)
def test_a_stub_is_met_with_its_message(lang, chapter):
    nb = nbformat.read(notebook(lang, chapter), as_version=4)
    assert all(verdict.startswith("✗") and len(verdict) > 10 for verdict in verdicts(nb))


def test_a_wrong_answer_never_raises():
    check = Checker("en", "00_start")
    assert "1 is not the number" in repr(check(1, 1, number=lambda n: n == 2))
    assert "(TypeError: " in repr(check(1, None, number=lambda n: n > 2))


def test_html_in_an_answer_is_escaped():
    assert "<script>" not in Checker("en", "00_start")(1, "<script>", number=lambda n: n == 2)._repr_html_()


def test_a_check_without_conditions_and_an_unknown_message_are_refused():
    with pytest.raises(ValueError, match="no conditions"):
        Checker("en", "00_start")(1, 2)
    with pytest.raises(KeyError, match="known: solved, unsolved"):
        message("en", "common", "nothing")
