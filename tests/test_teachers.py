"""The notes for teachers: whole in every language, and about what the chapter of that language shows."""

import pytest

from tools.settings import chapters, languages
from tools.teachers import NUM_SECTIONS, not_shown, problems, sections, text_of, wrong_links, wrong_shape


@pytest.mark.parametrize("chapter", chapters())
@pytest.mark.parametrize("lang", languages())
def test_every_chapter_has_its_notes(lang, chapter):
    assert problems(lang, chapter) == []
    assert len(sections(text_of(lang, chapter))) == NUM_SECTIONS


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda text: text.replace("0.46", "0.47"), "0.47 does not stand in the chapter"),
        (lambda text: text.replace("`visits`", "`vists`"), "`vists` does not stand in the chapter"),
        (lambda text: text.replace("00_start.ipynb", "01_pipeline.ipynb"), "no link to the chapter"),
        (lambda text: text.replace("1706.04599", "1706.04598"), "1706.04598 is not among the links"),
        (lambda text: text.replace("## Time\n", "## Hours\n"), "the headings are Aims, Hours, Prepare"),
        (
            lambda text: text.replace("- Every machine", "").split("- Ask")[0] + "\n## Prepare\n\n",
            "nothing stands under",
        ),
        (lambda text: text.replace("```text", "").replace("```", ""), "the last section is no drawing"),
        (lambda text: text + text, "long, at most 450"),
    ],
)
def test_what_is_wrong_is_told(change, said):
    text = text_of("en", "00_start")
    changed = change(text)
    found = [*wrong_shape("en", changed), *wrong_links("en", "00_start", changed)]
    found += not_shown("en", "00_start", changed)
    assert changed != text and [line for line in found if said in line]


def test_a_page_that_is_not_there_is_told():
    assert problems("en", "99_nothing") == ["en/99_nothing: there is no page for teachers"]
