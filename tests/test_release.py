"""What is released: refused with what to do where it is not ready, and one address wherever readers meet it."""

import hashlib
import shutil
import subprocess
import zipfile

import pytest

from ftcourse import __version__
from tools import address, release, settings, translate
from tools.wheels import this_machine

CHAPTERS = ["00_start", "06_loop"]  # the second one links to files of the repository


@pytest.fixture
def project(tmp_path, monkeypatch):
    """A copy of what has the address, committed, at the address maha/course on the branch `ready`."""
    for name in ("settings.ini", "CHANGELOG.md", *(path.name for path in settings.ROOT.glob("README*.md"))):
        shutil.copy(settings.ROOT / name, tmp_path)
    for lang in settings.languages():
        (tmp_path / "nbs" / lang).mkdir(parents=True)
        for chapter in CHAPTERS:
            shutil.copy(settings.notebook(lang, chapter), tmp_path / "nbs" / lang)
    monkeypatch.setattr(settings, "ROOT", tmp_path)
    monkeypatch.setattr(settings, "BUILD", tmp_path / "build")
    text = (tmp_path / "settings.ini").read_text(encoding="utf-8")
    old = settings.settings()
    text = text.replace(f"repository = {old['repository']}", "repository = maha/course.ai")
    text = text.replace(f"branch = {old['branch']}", "branch = ready")
    text = text.replace(f"chapters = {old['chapters']}", f"chapters = {' '.join(CHAPTERS)}")
    (tmp_path / "settings.ini").write_text(text, encoding="utf-8")
    (tmp_path / ".gitignore").write_text("build/\n")
    assert settings.repository() == "maha/course.ai"
    return tmp_path


def commit(folder):
    """All of a folder, committed."""
    who = ["-c", "user.name=Maha", "-c", "user.email=maha@example.org"]
    for command in (["init", "--quiet"], ["add", "--all"], [*who, "commit", "--quiet", "--message", "All"]):
        subprocess.run(["git", *command], cwd=folder, check=True)


def test_the_address_is_that_of_the_settings():
    assert address.out_of_step() == {}


def test_another_address_reaches_every_reader(project, capsys):
    old = "ftcourse/ftcourse"
    count = len(settings.languages()) * (len(settings.chapters()) + 1)
    assert address.main(["check"]) == 1 and len(capsys.readouterr().out.splitlines()) == count
    assert address.main([]) == 0 and address.main(["check"]) == 0
    for path in [*project.glob("README*.md"), *project.glob("nbs/*/*.ipynb")]:
        text = path.read_text(encoding="utf-8")
        assert old not in text and "maha/course.ai" in text, path
    readme = (project / "README.md").read_text(encoding="utf-8")
    assert "git clone --depth 1 https://github.com/maha/course.ai\ncd course.ai\n" in readme
    assert "ftcourse[lab] @ https://github.com/maha/course.ai/archive/refs/heads/ready.zip" in readme
    assert "colab.research.google.com/github/maha/course.ai/blob/ready/nbs/en/00_start.ipynb" in readme
    assert "https://huggingface.co/intfloat/multilingual-e5-small" in readme
    assert translate.check(settings.languages()[1:], CHAPTERS) == []  # no translation is stale for it


def test_a_release_is_refused_with_what_to_do(project):
    commit(project)
    [problem] = release.problems()
    assert "python -m tools.address" in problem and "README.ar.md" in problem
    address.main([])
    assert [problem.partition(":")[0] for problem in release.problems()] == ["not committed"]
    commit(project)
    assert release.problems() == []
    found = release.problems("9.9.9")
    assert f"CHANGELOG.md begins with {__version__}, and ftcourse/__init__.py says 9.9.9" in found
    assert f"README.md names the wheel of {__version__}, not 9.9.9" in found
    subprocess.run(["git", "tag", f"v{__version__}"], cwd=project, check=True)
    assert any("tag" in problem and "raise __version__" in problem for problem in release.problems())


def test_the_placeholder_is_refused(project):
    text = (project / "settings.ini").read_text(encoding="utf-8")
    (project / "settings.ini").write_text(text.replace("maha/course.ai", settings.PLACEHOLDER), encoding="utf-8")
    commit(project)
    [problem] = release.problems()
    assert "settings.ini: `repository` is the placeholder ftcourse/ftcourse. Set it to OWNER/NAME" in problem
    makefile = (release.Path(release.__file__).parents[1] / "Makefile").read_text(encoding="utf-8")
    steps = makefile.partition("\nrelease:")[2].partition("\n\n")[0]
    assert steps.index("tools.release check") < steps.index(" test") < steps.index("bundle") < steps.index("gather")


def test_what_is_released_is_gathered(project):
    name = f"ftcourse-{this_machine()}"
    files = {f"bundle/{name}/wheels/ftcourse-{__version__}-py3-none-any.whl": "the wheel"}
    files |= {f"bundle/{name}.zip": "the stick", "site/index.html": "the site"}
    for place, text in files.items():
        (settings.BUILD / place).parent.mkdir(parents=True, exist_ok=True)
        (settings.BUILD / place).write_text(text)
    out = release.gather()
    sums = dict(reversed(line.split("  ")) for line in (out / "SHA256SUMS").read_text().splitlines())
    kinds = (f"{this_machine()}.zip", "py3-none-any.whl", "site.zip")
    assert sorted(sums) == [f"ftcourse-{__version__}-{kind}" for kind in kinds]
    assert all(hashlib.sha256((out / file).read_bytes()).hexdigest() == sums[file] for file in sums)
    assert zipfile.ZipFile(out / f"ftcourse-{__version__}-site.zip").namelist() == ["index.html"]
