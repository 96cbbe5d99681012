"""Builds the stick: `python -m tools.bundle [--platform windows] [--torch PATH]` → build/bundle/, a folder and a zip.

In the folder is all that a laptop without internet needs: the course and its libraries as wheels, the website, models
that were fetched, the script that installs, a page of instructions. SHA256SUMS has the hash of every file. A build that
broke off goes on with the wheels that it had.
"""

import argparse
import os
import re
import shutil
import subprocess
import sys
import time
import zipfile
from html import escape
from pathlib import Path
from string import Template

from packaging.requirements import InvalidRequirement, Requirement
from packaging.utils import InvalidWheelFilename, canonicalize_name

from ftcourse.engine.contents import bytes_hash
from ftcourse.engine.fetch import MODELS, fetched
from ftcourse.engine.folders import reason, written_whole
from ftcourse.engine.messages import catalogue
from ftcourse.room.frame import LANGUAGES
from tools.pages import direction
from tools.settings import BUILD, ROOT, languages
from tools.wheels import Target, Wheel, closure, download, pins, pip, this_machine, wheels_in

STICK = ROOT / "classroom" / "stick"
CPU_INDEX = "https://download.pytorch.org/whl/cpu"
GPU_BUILDS = ("cu", "rocm", "xpu")  # how the local part of the version begins: 2.13.0+cu130
GPU_PACKAGES = ("nvidia-", "cuda-", "triton", "pytorch-triton")
PIECE_BYTES = 1 << 20
CODE = re.compile(r"`([^`]+)`")
SPARE_BYTES = (
    600_000_000  # what compiled modules, Python's own files and a learner's first models take beside the wheels
)


def chosen_torch(named: Path, target: Target) -> Wheel:
    """The wheel that is named, or the newest one for these laptops in the folder that is named."""
    found = []
    for path in named.glob("torch-*.whl") if named.is_dir() else [named]:
        try:
            found.append(Wheel(path))
        except InvalidWheelFilename as error:
            raise SystemExit(f"torch={named}: {error}") from None
    found = [wheel for wheel in found if wheel.name == "torch" and wheel.path.is_file() and target.fits(wheel)]
    if not found:
        example = f"torch-{pins()['torch']}+cpu-cp{target.python.replace('.', '')}-…-{target.platforms[0]}.whl"
        raise SystemExit(
            f"torch={named}: no wheel of PyTorch for {target.name}, Python {target.python}, like {example}"
        )
    return max(found, key=lambda wheel: wheel.version)


def add_torch(named: Path | None, folder: Path, target: Target) -> None:
    """PyTorch, from a file or folder that is named, or else its CPU build from where that is."""
    if named:
        shutil.copy2(check_cpu(chosen_torch(named, target), target).path, folder)
        return
    if target.name == "linux" and "torch" not in wheels_in(folder):  # elsewhere, what PyPI has is the CPU build
        version = pins()["torch"]
        if why := download({f"torch=={version}+cpu"}, folder, target, "--index-url", CPU_INDEX):
            raise SystemExit(
                f"PyTorch's CPU build {version} is not to be had from {CPU_INDEX} ({why}).\n"
                "Name a wheel, or a folder that has one: make bundle torch=PATH. (PyPI has the CUDA build.)"
            )


def for_gpu(wheel: Wheel, target: Target) -> bool:
    """Whether this is a build of PyTorch for graphics cards: by its version, or by what it requires there."""
    names = [canonicalize_name(requirement.name) for requirement in wheel.requires if target.wants(requirement)]
    return (wheel.version.local or "").startswith(GPU_BUILDS) or any(name.startswith(GPU_PACKAGES) for name in names)


def check_cpu(wheel: Wheel, target: Target) -> Wheel:
    """The wheel, unless it is a build of PyTorch for graphics cards."""
    if for_gpu(wheel, target):
        raise SystemExit(
            f"{wheel.path.name} is a build for graphics cards (CUDA or the like): several gigabytes with what it "
            f"requires, and the course needs none of it. Name the CPU build, from {CPU_INDEX}: make bundle torch=PATH"
        )
    return wheel


def add_course(given: Path | None, folder: Path) -> None:
    """The course's own wheel: one that is built already, or a fresh one."""
    for old in folder.glob("ftcourse-*.whl"):
        old.unlink()
    if given:
        shutil.copy2(given, folder)
        return
    shutil.rmtree(BUILD / "lib", ignore_errors=True)  # setuptools would take along what the course no longer has
    if why := pip("wheel", "--no-deps", "--no-build-isolation", "--wheel-dir", folder, ROOT):
        raise SystemExit(f"the course's wheel could not be built: {why}")


def add_libraries(folder: Path, target: Target) -> None:
    """All that the course requires, until nothing is missing; what nothing requires any more goes."""
    tried: set[str] = set()
    while True:
        wheels = wheels_in(folder)
        names, lacking = closure(wheels, Requirement("ftcourse[lab]"), target)
        if not lacking:
            break
        why = "pip brought another version" if lacking <= tried else download(lacking, folder, target)
        if why:
            raise SystemExit(f"not to be had for {target.name}, Python {target.python}: {why}")
        tried |= lacking
        print(f"  {len(wheels_in(folder))} wheels", flush=True)
    check_cpu(wheels["torch"], target)
    for path in folder.glob("*.whl"):
        wheel = Wheel(path)
        if wheel.name not in names or wheels[wheel.name].path != path:
            path.unlink()


def later_pythons(folder: Path, target: Target) -> list[str]:
    """Which libraries want a later Python than the first of its version."""
    late = [wheel for wheel in wheels_in(folder).values() if not wheel.python.contains(f"{target.python}.0")]
    return [f"{wheel.name} {wheel.version} wants Python {wheel.python}" for wheel in late]


def add_site(folder: Path, site: Path) -> str:
    """The website, built where it was not; returns why it is left out where that failed."""
    if not (site / "index.html").is_file():
        done = subprocess.run([sys.executable, "-m", "tools.site", "--out", site], cwd=ROOT, stdout=subprocess.DEVNULL)
        if done.returncode:
            return "the website is left out: make site could not build it"
    shutil.copytree(site, folder / "site")
    return ""


def add_models(folder: Path) -> str:
    """The full-size models that were fetched; returns which were not."""
    lacking = []
    for name in MODELS:
        if there := fetched(name):
            shutil.copytree(there, folder / "models" / name)
        else:
            lacking.append(name)
    how = ", ".join(f"ftcourse get {name}" for name in lacking)
    return f"models left out: {', '.join(lacking)} ({how} brings them, make bundle takes them along)" if lacking else ""


def unpacked(folder: Path) -> int:
    """The bytes that the wheels and models of a stick take where they are installed."""
    wheels = (zipfile.ZipFile(path).infolist() for path in (folder / "wheels").glob("*.whl"))
    models = (path.stat().st_size for path in (folder / "models").rglob("*") if path.is_file())
    return sum(member.file_size for members in wheels for member in members) + sum(models)


def megabytes(count: int) -> str:
    return f"{count / 1e6:,.0f} MB"


def files_of(folder: Path) -> list[Path]:
    """The files of a stick in a fixed order, but for the list of their hashes."""
    return sorted(path for path in folder.rglob("*") if path.is_file() and path != folder / "SHA256SUMS")


def add_words(folder: Path) -> None:
    """What the script says in each language: a line a message, `ar.broken=...`."""
    lines = [
        f"{lang}.{key.removeprefix('install.')}={text}"
        for lang in languages()
        for key, text in catalogue(lang, "stick").items()
        if key.startswith("install.")
    ]
    (folder / "words.txt").write_text("\n".join([*lines, ""]), encoding="utf-8", newline="\n")


UNIX = {
    "install_line": "sh install.sh --lang LANG",
    "other_line": "sh install.sh --lang LANG /mnt/disk/ftcourse",
    "start_line": "cd ~/ftcourse\n.venv/bin/ftcourse lab --lang LANG",
    "site_line": "~/ftcourse/.venv/bin/ftcourse site --folder site --host 0.0.0.0 --lang LANG",
}
POWERSHELL = {
    "install_line": "powershell -ExecutionPolicy Bypass -File install.ps1 -Lang LANG",
    "other_line": "powershell -ExecutionPolicy Bypass -File install.ps1 -Lang LANG -Folder D:\\ftcourse",
    "start_line": "cd ~\\ftcourse\n.venv\\Scripts\\ftcourse lab --lang LANG",
    "site_line": "~\\ftcourse\\.venv\\Scripts\\ftcourse site --folder site --host 0.0.0.0 --lang LANG",
}


def page(target: Target, values: dict[str, str]) -> str:
    """The page of instructions: a section a language, with what these laptops need."""
    whole, section = (STICK / "page.html").read_text(encoding="utf-8").split("<!-- a section a language -->")
    lines, made = POWERSHELL if target.name == "windows" else UNIX, []
    for lang in languages():
        words = {
            key.removeprefix("page."): CODE.sub(r"<code>\1</code>", escape(text.format_map(values), quote=False))
            for key, text in catalogue(lang, "stick").items()
            if key.startswith("page.")
        }
        words |= {key: words[f"{key}.{target.name}"] for key in ("system", "python", "terminal", "tried")}
        words["python"] += f" {words['installer']}" if values["file"] else ""
        words |= {key: escape(line.replace("LANG", lang)) for key, line in lines.items()}
        side = {"lang": lang, "dir": direction(lang)}
        made.append(Template(section).substitute(words | side))
    links = " · ".join(f'<a href="#{lang}" lang="{lang}">{LANGUAGES[lang]}</a>' for lang in languages())
    return Template(whole).substitute(links=links, sections="".join(made))


def add_scripts(folder: Path, target: Target, installer: Path | None) -> None:
    """The script that installs, its words, and the page of instructions."""
    need = (unpacked(folder) + SPARE_BYTES) / 1e6
    about = {"file": "", "bytes": "", "sha256": ""}
    if installer:
        (folder / "python").mkdir()
        file = Path(shutil.copy2(installer, folder / "python"))
        about = {"file": f"python/{file.name}", "bytes": f"{file.stat().st_size:,}", "sha256": bytes_hash(file)}
    add_words(folder)
    files = files_of(folder)
    size = sum(path.stat().st_size for path in files) / 1e6
    about |= {"python": target.python, "need": f"{need / 1000:.1f}", "size": f"{size:.0f}"}
    (folder / "START-HERE.html").write_text(page(target, about), encoding="utf-8", newline="\n")
    script = "install.ps1" if target.name == "windows" else "install.sh"
    text = (STICK / script).read_text(encoding="utf-8")
    known = {
        "SYSTEM": target.name,
        "PYTHON": target.python,
        "NEED": round(need),
        "FILES": len(files) + 2,
    }  # with these two
    for name, value in known.items():
        text = text.replace(f"@{name}@", str(value))
    (folder / script).write_text(text, encoding="utf-8", newline="\r\n" if target.name == "windows" else "\n")


def add_hashes(folder: Path) -> None:
    """The list of hashes, as `sha256sum` writes and reads it."""
    lines = [f"{bytes_hash(path)}  {path.relative_to(folder).as_posix()}\n" for path in files_of(folder)]
    (folder / "SHA256SUMS").write_text("".join(lines), encoding="utf-8", newline="\n")


def packed(folder: Path) -> Path:
    """The folder as a zip beside it; what is in it is packed already."""
    out = folder.with_name(f"{folder.name}.zip")
    with written_whole(out) as part, zipfile.ZipFile(part, "w", zipfile.ZIP_STORED) as archive:
        for path in [*files_of(folder), folder / "SHA256SUMS"]:
            archive.write(path, path.relative_to(folder.parent).as_posix())
    return out


class Steps:
    """Says which step is at work, and how long the one before took."""

    def __init__(self):
        self.started = time.monotonic()

    def __call__(self, what: str) -> None:
        print(f"{time.monotonic() - self.started:6.1f} s  {what}", flush=True)


def build(
    target: Target, out: Path, torch: Path | None, course: Path | None, site: Path, installer: Path | None
) -> Path:
    """Builds the stick in a folder beside `ftcourse-<platform>`, and puts it there when it is whole."""
    step, folder = Steps(), out / f"ftcourse-{target.name}"
    part = folder.with_name(f".{folder.name}.part")
    wheels = part / "wheels"
    wheels.mkdir(parents=True, exist_ok=True)
    for left in part.iterdir():  # of a build that broke off
        if left != wheels:
            shutil.rmtree(left) if left.is_dir() else left.unlink()
    for path in wheels.glob("*.whl"):
        if not zipfile.is_zipfile(path) or not target.fits(Wheel(path)):
            path.unlink()
    step("PyTorch")
    add_torch(torch, wheels, target)
    step("the course's wheel")
    add_course(course, wheels)
    step("its libraries")
    add_libraries(wheels, target)
    step("the website")
    notes = [add_site(part, site)]
    step("models")
    notes += [add_models(part), *later_pythons(wheels, target)]
    step("script, page, hashes")
    add_scripts(part, target, installer)
    add_hashes(part)
    if folder.exists():
        shutil.rmtree(folder)
    os.replace(part, folder)
    step("the zip")
    archive = packed(folder)
    if target.name != "linux":
        notes.append(f"{target.name} could not be tried where the course is made: try it on one laptop first")
        if not installer:
            notes.append(
                f"no Python in it: get {target.python} from python.org, and name it: make bundle installer=PATH"
            )
    for note in filter(None, notes):
        print(f"note: {note}")
    step(f"{folder}: {len(list(folder.glob('wheels/*')))} wheels, {megabytes(archive.stat().st_size)}; {archive.name}")
    return folder


def main(arguments: list[str] | None = None) -> int:
    version = f"{sys.version_info.major}.{sys.version_info.minor}"
    parser = argparse.ArgumentParser(description="Build the stick for laptops without internet.")
    parser.add_argument("--platform", choices=("linux", "windows", "macos"), default=this_machine())
    parser.add_argument(
        "--python", default=version, help=f"the laptops' version of Python; {version} where none is named"
    )
    parser.add_argument("--torch", type=Path, help="a wheel of PyTorch's CPU build, or a folder that has one")
    parser.add_argument("--course", type=Path, help="a wheel of the course that is built already")
    parser.add_argument("--installer", type=Path, help="Python's installer from python.org, to take along")
    parser.add_argument("--site", type=Path, default=BUILD / "site")
    parser.add_argument("--out", type=Path, default=BUILD / "bundle")
    options = parser.parse_args(arguments)
    target = Target(options.platform, options.python)
    try:
        build(target, options.out, options.torch, options.course, options.site, options.installer)
    except (OSError, zipfile.BadZipFile, InvalidRequirement) as error:
        place = getattr(error, "filename", None) or options.out
        raise SystemExit(f"{place}: {reason(error)}") from None
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
