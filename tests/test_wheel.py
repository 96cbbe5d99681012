"""The wheel is the whole course: package, kit and notebooks."""

import os
import subprocess
import sys
import venv
import zipfile

import pytest

from tools.settings import ROOT, chapters, languages


@pytest.fixture(scope="module")
def wheel(tmp_path_factory):
    target = tmp_path_factory.mktemp("wheel")
    command = [sys.executable, "-m", "pip", "wheel", "--quiet", "--no-deps", "--wheel-dir", str(target), str(ROOT)]
    subprocess.run(command, check=True)
    return next(target.glob("ftcourse-*.whl"))


def test_the_wheel_holds_package_kit_and_notebooks(wheel):
    names = set(zipfile.ZipFile(wheel).namelist())
    assets = [p.relative_to(ROOT).as_posix() for p in (ROOT / "ftcourse/assets").rglob("*") if p.is_file()]
    assets = [name for name in assets if "__pycache__" not in name]
    assert len(assets) > 50 and set(assets) <= names
    notebooks = {f"ftcourse/notebooks/{lang}/{chapter}.ipynb" for lang in languages() for chapter in chapters()}
    assert notebooks and notebooks <= names
    assert {f"ftcourse/notebooks/{lang}/glossary.md" for lang in languages()} <= names
    assert {"ftcourse/kit.py", "ftcourse/data.py", "ftcourse/trainer.py", "ftcourse/inference.py"} <= names
    assert wheel.stat().st_size <= 80_000_000


def test_every_package_of_the_source_is_in_the_wheel(wheel):
    packages = {path.parent.relative_to(ROOT).as_posix() for path in (ROOT / "ftcourse").rglob("__init__.py")}
    modules = {p.relative_to(ROOT).as_posix() for folder in packages for p in (ROOT / folder).glob("*.py")}
    assert {"ftcourse", "ftcourse/exercises"} <= packages
    assert modules <= set(zipfile.ZipFile(wheel).namelist())


def test_the_kit_loads_from_the_installed_wheel(wheel, tmp_path):
    venv.create(tmp_path / "env", with_pip=False)
    site = next((tmp_path / "env").glob("lib/python*/site-packages"))
    command = [sys.executable, "-m", "pip", "install", "--quiet", "--no-deps", "--target", str(site), str(wheel)]
    subprocess.run(command, check=True)
    script = (
        "from ftcourse.engine.assets import ASSETS; from ftcourse.kit import Kit; from datasets import load_dataset; "
        "print(ASSETS); print(load_dataset(*Kit('ar').dataset('films'))['train'].num_rows, Kit().model('stars'))"
    )
    libraries = os.pathsep.join(path for path in sys.path if path.endswith("site-packages"))
    done = subprocess.run(
        [tmp_path / "env/bin/python", "-c", f"import sys; sys.path += {libraries!r}.split(':'); {script}"],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        env={"PATH": os.environ["PATH"], "HOME": str(tmp_path)},
    )
    assert done.returncode == 0, done.stderr
    assert str(site) in done.stdout.splitlines()[0] and done.stdout.splitlines()[1].startswith("2000 ")
