"""Quizzes and exercises: complete, solvable, and answered in words."""

import ast
import json
import re

import nbformat
import pytest

from ftcourse.engine.messages import CATALOGUES, catalogue, message
from ftcourse.exercises import Checker, conditions, needs
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


def call(check: nbformat.NotebookNode) -> tuple[int, str, list[str]]:
    """The exercise's number, the name of the answer, and the keywords, as a checking cell has them."""
    [statement] = ast.parse(check.source).body
    assert statement.value.func.id == "check"
    number, answer = statement.value.args
    return number.value, answer.id, [keyword.arg for keyword in statement.value.keywords]


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
        assert call(by_id[f"check-{number}"])[:2] == (number, by_id[f"answer-{number}"].source.split()[0])
        assert len(SOLUTION.findall(by_id[f"solution-{number}"].source)) == 1


@pytest.mark.parametrize("chapter", chapters())
def test_each_exercise_has_its_conditions_and_gets_what_they_need(chapter):
    by_id, asked = cells("en", chapter), conditions(chapter)
    assert list(asked) == numbered(by_id, "exercise")
    for number, named in asked.items():
        wanted = {name for condition in named.values() for name in needs(condition)}
        assert named and set(call(by_id[f"check-{number}"])[2]) == wanted


@pytest.mark.parametrize("chapter", chapters())
def test_each_condition_has_its_message_and_each_message_its_condition(chapter):
    names = {f"{number}.{name}" for number, named in conditions(chapter).items() for name in named}
    assert names == set(catalogue("en", chapter))


@pytest.mark.parametrize("chapter", chapters())
def test_only_exercises_that_are_not_open_have_stubs_and_checks(chapter):
    by_id = cells("en", chapter)
    assert numbered(by_id, "answer") == numbered(by_id, "check") == numbered(by_id, "exercise")
    assert all(by_id[f"open-{number}"].cell_type == "markdown" for number in numbered(by_id, "open"))


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
def test_checks_store_no_output(lang, chapter):
    by_id = cells(lang, chapter)
    checks = [by_id[f"check-{number}"] for number in numbered(by_id, "check")]
    assert checks and all(check.outputs == [] for check in checks)


@pytest.mark.parametrize("chapter", chapters())
def test_a_stub_is_met_with_the_same_message_in_every_chapter(chapter):
    for number, named in conditions(chapter).items():
        values = dict.fromkeys(name for condition in named.values() for name in needs(condition))
        assert repr(Checker("en", chapter)(number, ..., **values)).startswith("✗ Not solved yet: put your answer")


@pytest.mark.parametrize("chapter", chapters())
def test_a_wrong_answer_never_raises(chapter):
    for number, named in conditions(chapter).items():
        values = dict.fromkeys(name for condition in named.values() for name in needs(condition))
        for answer in (None, "", -1, [1, "2"]):
            assert repr(Checker("en", chapter)(number, answer, **values)).startswith("✗ ")


def test_what_is_wrong_is_said():
    check = Checker("en", "00_start")
    assert "1 is not the number" in repr(check(1, 1))
    assert "(TypeError: " in repr(check(2, 5, star_score=len, to_beat=0))


def test_html_in_an_answer_is_escaped():
    assert "<script>" not in Checker("en", "00_start")(1, "<script>")._repr_html_()


def test_an_unknown_exercise_a_missing_value_and_an_unknown_message_are_refused():
    check = Checker("en", "00_start")
    with pytest.raises(ValueError, match="no exercise 4; it has 1, 2, 3"):
        check(4, 2)
    with pytest.raises(
        ValueError, match=r"check\(2, answer, star_score=star_score, to_beat=to_beat\); got the keywords \['model'\]"
    ):
        check(2, ..., model=None)
    with pytest.raises(KeyError, match="known: solved, unsolved"):
        message("en", "common", "nothing")
