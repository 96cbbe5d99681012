"""The README: its table lists every chapter, and its examples run."""

import re
import subprocess
import sys
import unicodedata

import pytest
from datasets import load_dataset

from ftcourse.kit import Kit
from tools.settings import ROOT, chapters, notebook, settings

PAGES = {"en": "README.md", "ar": "README.ar.md", "zh": "README.zh.md", "zh-Hant": "README.zh-Hant.md"}
README = {lang: (ROOT / name).read_text(encoding="utf-8") for lang, name in PAGES.items()}
SPAN = re.compile(r'<span dir="ltr">|</span>')


@pytest.mark.parametrize("lang", PAGES)
def test_every_chapter_has_its_line(lang):
    line = r"^\| \[(\w+)\]\((\S+)\) .+\]\((https://colab\S+)\) \| `ftcourse\.(\w+)` \| (\S+) \|$"
    rows = re.findall(line, SPAN.sub("", README[lang]), re.M)
    assert [chapter for chapter, *_ in rows] == chapters()
    for chapter, path, colab, module, minutes in rows:
        assert ROOT / path == notebook(lang, chapter)
        assert colab.endswith(f"github/{settings()['repository']}/blob/{settings()['branch']}/{path}")
        assert (ROOT / f"ftcourse/{module}.py").exists() and float(minutes) <= 1.5


@pytest.mark.parametrize("lang", PAGES)
def test_links_lead_somewhere(lang):
    links = [link for link in re.findall(r"\]\(([^)#]+)\)", README[lang]) if not link.startswith("http")]
    assert len(links) > 8
    assert [link for link in links if not (ROOT / link).exists()] == []
    assert set(PAGES.values()) <= set(links)


def slug(heading: str) -> str:
    """The name that code hosts give to the place of a heading."""
    kept = (c for c in heading.lower() if c in " -_" or c.isalnum() or unicodedata.category(c).startswith("M"))
    return "".join(kept).replace(" ", "-")


@pytest.mark.parametrize("lang", PAGES)
def test_links_within_the_page_lead_to_a_heading(lang):
    prose = re.sub(r"^```.*?^```", "", README[lang], flags=re.M | re.S)
    places = [slug(heading) for heading in re.findall(r"^#+ (.+)$", prose, re.M)]
    links = re.findall(r"\]\(#([^)]+)\)", prose)
    assert len(set(links)) >= 6 and set(links) <= set(places)


def python_blocks(lang: str) -> list[str]:
    return re.findall(r"```python\n(.+?)```", README[lang], re.S)


def test_the_examples_are_the_same_in_all_languages():
    english = [re.sub(r'Kit\(".+?"\)(?:  #.*)?', "Kit", block) for block in python_blocks("en")]
    for lang in PAGES:
        assert [re.sub(r'Kit\(".+?"\)(?:  #.*)?', "Kit", block) for block in python_blocks(lang)] == english


def test_the_examples_run(tmp_path):
    rows = load_dataset(*Kit().dataset("reviews"))["train"].select(range(40))
    rows.to_csv(tmp_path / "reviews.csv")
    blocks = python_blocks("en")
    assert len(blocks) == 2
    for block in blocks:
        code = block + "\nprint('done')"
        run = subprocess.run([sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True, timeout=300)
        assert run.stdout.strip().endswith("done"), run.stderr
