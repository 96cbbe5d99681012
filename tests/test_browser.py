"""The translated notebooks in JupyterLab, as a reader sees them. Skipped where there is no Chromium with its driver;
with CI=true that is a failure.

Screenshots for a person to look at go to `build/shots/`.
"""

import json
import os
import shutil
import socket
import subprocess
import sys
import time

import pytest
from selenium.webdriver.support.ui import WebDriverWait

from tests.chromium import SHOTS, start_chromium, wait_for
from tools.settings import ROOT, chapters, languages, notebook, settings

# How every prose block is laid out: direction, alignment, and whether its text starts near the block's right edge.
LAYOUT = """
const shown = node => node.getClientRects().length > 0;
const style = node => getComputedStyle(node.querySelector(':scope > span[dir="rtl"]') ?? node);
const at_right = node => {
  const range = document.createRange(); range.selectNodeContents(node);
  const text = range.getBoundingClientRect(), block = node.getBoundingClientRect();
  return block.right - text.right <= text.left - block.left + 1;
};
const cells = [...document.querySelectorAll('.jp-MarkdownOutput')];
const within = names => cells.flatMap(cell => [...cell.querySelectorAll(names)]).filter(shown);
const blocks = within('h1, h2, h3, p, li, td, th');
return {
  cells: cells.length,
  blocks: blocks.map(n => [n.tagName, style(n).direction, style(n).textAlign, at_right(n), n.innerText.slice(0, 40)]),
  code: within('code, pre').map(n => [n.tagName, style(n).direction, n.innerText.slice(0, 40)]),
};
"""


def free_port() -> int:
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        return sock.getsockname()[1]


@pytest.fixture(scope="module")
def lab(tmp_path_factory):
    """Address of a JupyterLab that shows the notebooks, all cells of a notebook at once."""
    root, home = tmp_path_factory.mktemp("lab"), tmp_path_factory.mktemp("home")
    shutil.copytree(ROOT / "nbs", root / "nbs")
    tracker = home / "settings/@jupyterlab/notebook-extension/tracker.jupyterlab-settings"
    tracker.parent.mkdir(parents=True)
    tracker.write_text(json.dumps({"windowingMode": "none"}))
    port = free_port()
    options = [f"--ServerApp.port={port}", f"--ServerApp.root_dir={root}", "--IdentityProvider.token="]
    command = [sys.executable, "-m", "jupyter", "lab", "--no-browser", "--allow-root", *options]
    environment = {**os.environ, "JUPYTERLAB_SETTINGS_DIR": str(home / "settings"), "HOME": str(home)}
    with open(home / "log", "w") as log:
        server = subprocess.Popen(command, stdout=log, stderr=log, env=environment)
    try:
        address = f"http://127.0.0.1:{port}"
        wait_for(f"{address}/api")
        yield address
    finally:
        server.terminate()
        server.wait(20)


@pytest.fixture(scope="module")
def browser():
    driver = start_chromium("--window-size=1200,1600")
    yield driver
    driver.quit()


def layout(browser, lab: str, lang: str, chapter: str) -> dict:
    """What the browser makes of a notebook's prose; a screenshot of its beginning is kept."""
    browser.get(f"{lab}/lab/workspaces/{lang}-{chapter}/tree/nbs/{lang}/{notebook(lang, chapter).name}")
    cells = sum(
        cell["cell_type"] == "markdown"
        for cell in json.loads(notebook(lang, chapter).read_text(encoding="utf-8"))["cells"]
    )
    count = "return document.querySelectorAll('.jp-MarkdownOutput').length"
    WebDriverWait(browser, 90).until(lambda driver: driver.execute_script(count) >= cells)
    WebDriverWait(browser, 30).until(lambda driver: driver.execute_script(LAYOUT)["blocks"])
    time.sleep(1)
    SHOTS.mkdir(parents=True, exist_ok=True)
    browser.save_screenshot(str(SHOTS / f"{lang}-{chapter}.png"))
    return browser.execute_script(LAYOUT)


RIGHT_TO_LEFT = [lang for lang in languages() if lang in settings()["right_to_left"].split()]


def every_fourth(chapter: str):
    """The parameter for a chapter, marked as a long one where it is not a fourth."""
    return pytest.param(chapter, marks=[pytest.mark.long] if chapters().index(chapter) % 4 else [])


@pytest.mark.parametrize("chapter", [every_fourth(chapter) for chapter in chapters()])
@pytest.mark.parametrize("lang", RIGHT_TO_LEFT)
def test_prose_runs_right_to_left_and_code_left_to_right(browser, lab, lang, chapter):
    seen = layout(browser, lab, lang, chapter)
    assert len(seen["blocks"]) > 30 and len(seen["code"]) > 10
    assert [block for block in seen["blocks"] if block[1] != "rtl"] == []
    prose = [block for block in seen["blocks"] if block[0] not in ("TD", "TH")]
    assert [block for block in prose if block[2] not in ("right", "start") or not block[3]] == []
    assert [code for code in seen["code"] if code[1] != "ltr"] == []


@pytest.mark.parametrize("lang", [lang for lang in languages() if lang not in RIGHT_TO_LEFT])
def test_other_languages_run_left_to_right(browser, lab, lang):
    seen = layout(browser, lab, lang, chapters()[0])
    assert seen["blocks"] and [block for block in seen["blocks"] if block[1] != "ltr"] == []
