"""The README: its table lists every chapter, and its examples run."""

import re
import subprocess
import sys

from datasets import load_dataset

from ftcourse.kit import Kit
from tools.settings import ROOT, chapters, notebook, settings

README = (ROOT / "README.md").read_text(encoding="utf-8")


def test_every_chapter_has_its_line():
    line = r"^\| \[(\w+)\]\((\S+)\) .+\]\((https://colab\S+)\) \| `ftcourse\.(\w+)` \| (\S+) \|$"
    rows = re.findall(line, README, re.M)
    assert [chapter for chapter, *_ in rows] == chapters()
    for chapter, path, colab, module, minutes in rows:
        assert ROOT / path == notebook("en", chapter)
        assert colab.endswith(f"github/{settings()['repository']}/blob/{settings()['branch']}/{path}")
        assert (ROOT / f"ftcourse/{module}.py").exists() and float(minutes) <= 1


def test_links_lead_somewhere():
    links = [link for link in re.findall(r"\]\(([^)#]+)\)", README) if not link.startswith("http")]
    assert len(links) > 8
    assert [link for link in links if not (ROOT / link).exists()] == []


def test_the_examples_run(tmp_path):
    rows = load_dataset(*Kit().dataset("reviews"))["train"].select(range(40))
    rows.to_csv(tmp_path / "reviews.csv")
    blocks = re.findall(r"```python\n(.+?)```", README, re.S)
    assert len(blocks) == 2
    for block in blocks:
        code = block + "\nprint('done')"
        run = subprocess.run([sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True, timeout=300)
        assert run.stdout.strip().endswith("done"), run.stderr
