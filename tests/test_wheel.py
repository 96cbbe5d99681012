"""The wheel is the whole course: package, kit and notebooks."""

import os
import re
import subprocess
import sys
import venv
import zipfile

import pytest
from filelock import FileLock

from tests.test_readme import PAGES, README, python_blocks
from tools.settings import ROOT, chapters, languages


@pytest.fixture(scope="module")
def wheel(tmp_path_factory):
    """Built once, whichever of the processes that test at the same time comes first: all build in the same folder."""
    shared = tmp_path_factory.getbasetemp()
    shared = shared.parent if "PYTEST_XDIST_WORKER" in os.environ else shared
    command = [sys.executable, "-m", "pip", "wheel", "--quiet", "--no-deps", "--wheel-dir", str(shared), str(ROOT)]
    with FileLock(shared / "wheel.lock"):
        if not list(shared.glob("ftcourse-*.whl")):
            subprocess.run(command, check=True)
    return next(shared.glob("ftcourse-*.whl"))


def test_the_wheel_holds_package_kit_and_notebooks(wheel):
    names = set(zipfile.ZipFile(wheel).namelist())
    assets = [p.relative_to(ROOT).as_posix() for p in (ROOT / "ftcourse/assets").rglob("*") if p.is_file()]
    assets = [name for name in assets if "__pycache__" not in name]
    assert len(assets) > 50 and set(assets) <= names
    notebooks = {f"ftcourse/notebooks/{lang}/{chapter}.ipynb" for lang in languages() for chapter in chapters()}
    assert notebooks and notebooks <= names
    assert {f"ftcourse/notebooks/{lang}/glossary.md" for lang in languages()} <= names
    assert {"ftcourse/kit.py", "ftcourse/data.py", "ftcourse/trainer.py", "ftcourse/inference.py"} <= names
    assert wheel.stat().st_size <= 96_000_000


@pytest.mark.parametrize("lang", PAGES)
def test_the_readme_names_its_size(wheel, lang):
    named = int(re.search(r"^\| .*wheel.+?\| (\d+) ", README[lang], re.M).group(1))
    assert 0.95 * named < wheel.stat().st_size / 1e6 < 1.05 * named


def test_every_package_of_the_source_is_in_the_wheel(wheel):
    packages = {path.parent.relative_to(ROOT).as_posix() for path in (ROOT / "ftcourse").rglob("__init__.py")}
    modules = {p.relative_to(ROOT).as_posix() for folder in packages for p in (ROOT / folder).glob("*.py")}
    assert {"ftcourse", "ftcourse/exercises"} <= packages
    assert modules <= set(zipfile.ZipFile(wheel).namelist())


@pytest.fixture(scope="module")
def installed(wheel, tmp_path_factory):
    """Runs Python code in a folder, where the course is the installed wheel and all else the libraries of this run."""
    home = tmp_path_factory.mktemp("installed")
    venv.create(home / "env", with_pip=False)
    site = next((home / "env").glob("lib/python*/site-packages"))
    command = [sys.executable, "-m", "pip", "install", "--quiet", "--no-deps", "--target", str(site), str(wheel)]
    subprocess.run(command, check=True)
    libraries = os.pathsep.join(path for path in sys.path if path.endswith("site-packages"))

    def run(code, folder):
        paths = f"import sys; sys.path += {libraries!r}.split({os.pathsep!r})"
        code = f"{paths}\n{code}\nimport ftcourse; print(ftcourse.__file__)"
        env = {"PATH": os.environ["PATH"], "HOME": str(home)}
        command = [home / "env/bin/python", "-c", code]
        done = subprocess.run(command, cwd=folder, capture_output=True, text=True, env=env, timeout=300)
        assert done.returncode == 0, done.stderr
        *output, package = done.stdout.splitlines()
        assert package == str(site / "ftcourse/__init__.py")
        return output

    return run


def test_the_kit_loads_from_the_installed_wheel(installed, tmp_path):
    output = installed(
        "from ftcourse.kit import Kit; from datasets import load_dataset\n"
        "print(load_dataset(*Kit('ar').dataset('films'))['train'].num_rows, Kit().model('stars'))",
        tmp_path,
    )
    assert output[-1].startswith("2000 ")


def test_the_readmes_example_runs_from_the_installed_wheel_in_an_empty_folder(installed, tmp_path):
    example = next(block for block in python_blocks("en") if "read_table" in block)
    rows = [f"Soup number {number} was all right.,{number % 5}" for number in range(10)]
    (tmp_path / "reviews.csv").write_text("\n".join(["text,label", *rows]), encoding="utf-8")
    assert installed(f"{example}\nprint(len(answers.labels))", tmp_path)[-1] == "1"
    assert [path.name for path in tmp_path.iterdir()] == ["reviews.csv"]
