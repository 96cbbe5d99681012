"""Another Matplotlib is loaded before the course comes, as in Colab: a chapter runs, or one line says what to do."""

import os
import re
import shutil
import subprocess
import sys
import tomllib
from importlib.metadata import distribution
from pathlib import Path

import nbformat
import pytest
from nbclient import NotebookClient

from ftcourse.engine.messages import in_words, speaking
from tools.settings import ROOT, languages, notebook

EARLY = "import matplotlib_inline.backend_inline, matplotlib, sys; print(matplotlib.__version__)"


@pytest.fixture(scope="module")
def oldest(tmp_path_factory) -> Path:
    """A folder with the oldest Matplotlib that pyproject.toml allows."""
    needs = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]["dependencies"]
    wanted = next(one for one in needs if one.startswith("matplotlib>=")).replace(">=", "==")
    folder = tmp_path_factory.mktemp("oldest")
    command = [sys.executable, "-m", "pip", "install", "--quiet", "--no-deps", "--target", str(folder), wanted]
    done = subprocess.run(command, capture_output=True, text=True)
    if done.returncode and not os.environ.get("CI"):
        pytest.skip(f"{wanted} is not to be had here")
    assert done.returncode == 0, done.stderr
    return folder


def test_chapter_00_begins_with_the_oldest_matplotlib_loaded_already(oldest, monkeypatch):
    monkeypatch.setenv("PYTHONPATH", f"{oldest}{os.pathsep}{ROOT}")
    book = nbformat.read(notebook("ar", "00_start"), as_version=4)
    last = [cell.id for cell in book.cells].index("picture-code")
    book.cells = [nbformat.v4.new_code_cell(EARLY), *book.cells[: last + 1]]
    NotebookClient(book, timeout=300, kernel_name="python3", resources={"metadata": {"path": str(ROOT)}}).execute()
    outputs = {cell.id: cell.outputs for cell in book.cells if cell.cell_type == "code"}
    version = next(iter(outputs.values()))[0].text.strip()
    assert version == next(oldest.glob("matplotlib-*.dist-info")).name.split("-")[1].removesuffix(".dist")
    assert any("image/png" in output.get("data", {}) for output in outputs["picture-code"])
    with speaking("ar"):
        said = in_words("letters_apart", found=version)
    assert said in "".join(output.get("text", "") for output in outputs["setup"])


def test_a_library_replaced_while_it_was_loaded_asks_for_a_fresh_session(oldest, tmp_path):
    session = shutil.copytree(oldest, tmp_path / "session")
    [old] = session.glob("matplotlib-*.dist-info")
    package = distribution("matplotlib")
    new = Path(package.locate_file(""))
    begin = "\n".join(
        f"try:\n    begin({lang!r}, '00_start')\nexcept RuntimeError as error:\n    print(error)"
        for lang in languages()
    )
    code = f"""import shutil, sys
import matplotlib.pyplot
for name in ("matplotlib", "mpl_toolkits"):
    shutil.rmtree({str(session)!r} + "/" + name)
    shutil.copytree({str(new)!r} + "/" + name, {str(session)!r} + "/" + name)
shutil.move({str(old)!r}, {str(session / f"matplotlib-{package.version}.dist-info")!r})
metadata = {str(session / f"matplotlib-{package.version}.dist-info" / "METADATA")!r}
shutil.copy({str(new / f"matplotlib-{package.version}.dist-info" / "METADATA")!r}, metadata)
from ftcourse.engine.lesson import begin
{begin}
"""
    environment = os.environ | {"PYTHONPATH": f"{session}{os.pathsep}{ROOT}"}
    done = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True, timeout=300)
    values = {
        "name": "matplotlib",
        "loaded": old.name.split("-")[1].removesuffix(".dist"),
        "installed": package.version,
    }
    expected = []
    for lang in languages():
        with speaking(lang):
            expected.append(in_words("restart", **values))
    assert done.stdout.splitlines() == expected, done.stderr
    assert re.search("restart the session", expected[0]) and len(set(expected)) == len(languages())
