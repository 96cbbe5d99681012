"""The stick, built from small wheels, and what is installed from it; the long form is the real one, without a route."""

import hashlib
import os
import re
import shutil
import signal
import subprocess
import sys
import time
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import psutil
import pytest
from packaging.requirements import Requirement

from ftcourse.engine.messages import catalogue
from tests.built import Seen
from tests.tiny import heed_interrupts
from tools.bundle import STICK, add_hashes, main
from tools.settings import ROOT, languages
from tools.wheels import Target, Wheel, closure, wheels_in

PYTHON = f"{sys.version_info.major}.{sys.version_info.minor}"
TAG = f"cp{PYTHON.replace('.', '')}-cp{PYTHON.replace('.', '')}"
LINUX, WINDOWS = f"{TAG}-manylinux_2_28_x86_64", f"{TAG}-win_amd64"
FETCH = "import os\ndef cache_folder():\n    return os.path.expanduser('~/models')\n"
CLI = "import sys\ndef main():\n    print('ftcourse', *sys.argv[1:])\n"
pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="install.sh is tried on Linux")


def put_wheel(folder: Path, name: str, requires: tuple = (), tag: str = "py3-none-any", **files: str) -> Path:
    """A wheel of a few lines, `name` with its version, such as "soup-1.0"."""
    package, version = name.split("-")
    info = f"{name}.dist-info"
    about = ["Metadata-Version: 2.1", f"Name: {package}", f"Version: {version}", "Provides-Extra: lab"]
    members = {f"{package}/__init__.py": "", **files}
    members[f"{info}/METADATA"] = "\n".join([*about, *(f"Requires-Dist: {one}" for one in requires), ""])
    members[f"{info}/WHEEL"] = f"Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: {tag}\n"
    members[f"{info}/RECORD"] = "".join(f"{member},,\n" for member in [*members, f"{info}/RECORD"])
    path = folder / f"{name}-{tag}.whl"
    with zipfile.ZipFile(path, "w") as archive:
        for member, text in members.items():
            archive.writestr(member, text)
    return path


@contextmanager
def pip_of(folder: Path) -> Iterator[None]:
    """While it lasts, a folder is all that pip knows, and an empty one the place of fetched models."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PIP_FIND_LINKS", str(folder))
        patch.setenv("PIP_NO_INDEX", "1")
        patch.setenv("PIP_CONFIG_FILE", os.devnull)
        patch.setenv("FTCOURSE_CACHE", str(folder / "cache"))
        yield


def fill(folder: Path) -> Path:
    """A shelf: PyTorch for two systems, a course of a few lines and what it requires, a site, a fetched model."""
    folder.mkdir()
    put_wheel(folder, "torch-2.13.0+cpu", tag=LINUX)
    nvidia = "nvidia-cublas>=13; sys_platform == 'linux'"
    put_wheel(folder, "torch-2.13.0", [nvidia], tag=WINDOWS)  # for which this requirement does not count
    put_wheel(folder, "soup-1.0", ["spoon>=1"])
    put_wheel(folder, "spoon-1.5")
    put_wheel(folder, "glass-1.0", tag=WINDOWS)
    requires = ["torch>=2.6", "soup; extra == 'lab'", "glass; extra == 'lab' and sys_platform == 'win32'"]
    files = {"ftcourse/cli.py": CLI, "ftcourse/engine/fetch.py": FETCH}
    files["ftcourse-0.2.0.dist-info/entry_points.txt"] = "[console_scripts]\nftcourse = ftcourse.cli:main\n"
    (folder / "course").mkdir()
    put_wheel(folder / "course", "ftcourse-0.2.0", requires, **files)
    (folder / "site").mkdir()
    (folder / "site" / "index.html").write_text("<p>the site</p>")
    (folder / "cache" / "chat").mkdir(parents=True)
    (folder / "cache" / "chat" / "model.safetensors").write_text("weights")
    return folder


def bundle(shelf: Path, *options: str | Path, platform: str = "linux") -> Path:
    """A stick of what is on a shelf, beside it."""
    places = {"course": next((shelf / "course").iterdir()), "site": shelf / "site", "out": shelf.parent / "out"}
    with pip_of(shelf):
        main([f"--platform={platform}", *(f"--{name}={place}" for name, place in places.items()), *map(str, options)])
    return shelf.parent / "out" / f"ftcourse-{platform}"


@pytest.fixture
def shelf(tmp_path) -> Path:
    return fill(tmp_path / "shelf")


@pytest.fixture(scope="module")
def built(tmp_path_factory) -> Path:
    """A stick, built once."""
    return bundle(fill(tmp_path_factory.mktemp("built") / "shelf"))


@pytest.fixture
def stick(built, tmp_path) -> Path:
    """A copy of it, to break."""
    return shutil.copytree(built, tmp_path / "stick")


def environment(home: Path, lang: str = "C.UTF-8") -> dict[str, str]:
    """One that has nothing of this one."""
    base = Path(sys._base_executable).resolve().parent
    return {"HOME": str(home), "PATH": f"{base}:/usr/sbin:/usr/bin:/sbin:/bin", "LANG": lang}


def install(stick: Path, home: Path, *arguments: str, before: tuple = (), lang: str = "C.UTF-8"):
    """What `sh install.sh` answers."""
    home.mkdir(exist_ok=True)
    command = [*before, "sh", str(stick / "install.sh"), *arguments]
    return subprocess.run(command, cwd=home, env=environment(home, lang), capture_output=True, text=True, timeout=600)


def test_a_stick_holds_all_that_is_needed_and_installs(built, tmp_path):
    stick = built
    wheels = {path.name for path in (stick / "wheels").iterdir()}
    pure = {f"{name}-py3-none-any.whl" for name in ("ftcourse-0.2.0", "soup-1.0", "spoon-1.5")}
    assert wheels == {f"torch-2.13.0+cpu-{LINUX}.whl"} | pure
    assert {path.name for path in stick.iterdir()} == {
        *("wheels", "site", "models", "install.sh", "words.txt", "START-HERE.html", "SHA256SUMS")
    }
    sums = dict(reversed(line.split("  ")) for line in (stick / "SHA256SUMS").read_text().splitlines())
    found = {path.relative_to(stick).as_posix(): path for path in stick.rglob("*") if path.is_file()}
    assert {*sums} == {*found} - {"SHA256SUMS"}
    assert all(hashlib.sha256(found[name].read_bytes()).hexdigest() == sums[name] for name in sums)
    archive = zipfile.ZipFile(stick.with_suffix(".zip"))
    assert {*archive.namelist()} == {f"ftcourse-linux/{name}" for name in found} and archive.testzip() is None

    home = tmp_path / "a home"
    done = install(stick, home, lang="ar_EG.UTF-8")
    assert done.returncode == 0, done.stderr
    words = catalogue("ar", "stick")
    assert words["install.check"].format(files=len(sums)) in done.stdout and words["install.done"] in done.stdout
    assert "ftcourse doctor --lang ar\n" in done.stdout and str(stick / "site") in done.stdout
    assert (home / "models/chat/model.safetensors").read_text() == "weights"
    python = home / "ftcourse/.venv/bin/python"
    assert subprocess.run([python, "-c", "import ftcourse, soup, spoon, torch"]).returncode == 0


def test_what_an_install_had_only_begun_is_installed_anew(built, tmp_path):
    """To pip a package is installed as soon as its METADATA is there, whatever else is not."""
    env = tmp_path / "home/ftcourse/.venv"
    assert install(built, tmp_path / "home").returncode == 0 and not (env / "ftcourse-begun").exists()
    for path in (env / "bin/ftcourse", *env.glob("lib/*/site-packages/soup/__init__.py")):
        path.unlink()
    (env / "ftcourse-begun").touch()
    assert install(built, tmp_path / "home").returncode == 0
    assert (env / "bin/ftcourse").is_file() and subprocess.run(
        [env / "bin/python", "-c", "import soup"]
    ).returncode == 0


def test_ctrl_c_stops_pip_too(stick, tmp_path):
    """The shell starts it in the background, where it does not heed Ctrl-C."""
    script, note = stick / "install.sh", tmp_path / "pid"
    text = script.read_text()
    slow = f"import os, time; open('{note}', 'w').write(str(os.getpid())); time.sleep(60)"
    assert text.count("-m pip") == 1
    script.write_text(text.replace("-m pip", f'-c "{slow}"'))
    add_hashes(stick)
    options = {
        "cwd": tmp_path,
        "env": environment(tmp_path),
        "stdout": subprocess.DEVNULL,
        "preexec_fn": heed_interrupts,
    }
    with subprocess.Popen(["sh", str(script)], **options) as shell:
        while shell.poll() is None and not (note.exists() and note.read_text()):
            time.sleep(0.05)
        pip = psutil.Process(int(note.read_text()))
        for process in (shell, pip):
            process.send_signal(signal.SIGINT)
        assert shell.wait(30) == 130 and psutil.wait_procs([pip], 10)[0]


def test_a_broken_stick_is_told(stick, tmp_path):
    home = tmp_path / "home"
    sums = (stick / "SHA256SUMS").read_text()
    soup = stick / "wheels/soup-1.0-py3-none-any.whl"
    content = soup.read_bytes()
    soup.write_bytes(content[:-1] + b"?")
    for lang in languages():
        done = install(stick, home, "--lang", lang)
        said = catalogue(lang, "stick")["install.broken"].format(file="wheels/soup-1.0-py3-none-any.whl")
        assert (done.returncode, done.stderr) == (1, f"{said}\n")
    soup.unlink()
    assert "Broken or missing: wheels/soup-1.0" in install(stick, home).stderr
    soup.write_bytes(content)
    for damaged in ("", sums[: len(sums) // 2], sums.replace("  ", " ", 1)):
        (stick / "SHA256SUMS").write_text(damaged)
        done = install(stick, home)
        assert done.returncode == 1 and ("SHA256SUMS" in done.stderr or "Broken" in done.stderr)
    (stick / "SHA256SUMS").write_text(sums)
    assert list(home.iterdir()) == []


def test_what_keeps_a_laptop_from_installing_is_said(stick, tmp_path):
    home = tmp_path / "home"
    assert install(stick, home, "--lang", "fr").returncode == 2
    (home / "file").write_text("")
    done = install(stick, home, "file/ftcourse")
    assert done.returncode == 1 and done.stderr.startswith(f"Nothing can be written to {home}/file/ftcourse.")
    text = (stick / "install.sh").read_text()
    for other, said in (("version=3.99", "Python 3.99 was not found"), ("system=macos", "is for macos")):
        name = other.partition("=")[0]
        (stick / "install.sh").write_text(re.sub(rf"{name}=[\w.]+", other, text, count=1))
        add_hashes(stick)
        done = install(stick, home)
        assert done.returncode == 1 and said in done.stderr
    assert [path.name for path in home.iterdir()] == ["file"]


@pytest.fixture
def small_disk(tmp_path):
    """A disk of two megabytes."""
    place = tmp_path / "disk"
    place.mkdir()
    if subprocess.run(["mount", "-t", "tmpfs", "-o", "size=2m", "tmpfs", place], capture_output=True).returncode:
        pytest.skip("mounting is not allowed here")
    yield place
    subprocess.run(["umount", "--lazy", place], check=True)


def test_a_full_disk_is_told_when_installing_and_when_building(built, shelf, small_disk, tmp_path):
    done = install(built, tmp_path / "home", str(small_disk / "course"))
    assert done.returncode == 1 and "MB of free disk are needed" in done.stderr
    put_wheel(shelf, "soup-1.0", ["spoon>=1"], **{"soup/pot.txt": "soup" * 700_000})
    with pytest.raises(SystemExit, match="No space left on device"):
        bundle(shelf, f"--out={small_disk}")
    put_wheel(shelf, "torch-2.13.0+cpu", tag=LINUX, **{"torch/weights.txt": "soup" * 700_000})
    with pytest.raises(SystemExit, match="No space left on device"):
        bundle(shelf, f"--out={small_disk}", f"--torch={shelf}")
    assert not (small_disk / "ftcourse-linux").exists()
    file = shelf / "spoon-1.5-py3-none-any.whl"
    with pytest.raises(SystemExit, match=f"{file}.*Not a directory"):
        bundle(shelf, f"--out={file}/out")


@pytest.mark.parametrize(
    ("name", "requires"),
    [("torch-2.13.0+cu130", []), ("torch-2.13.0+rocm7", []), ("torch-2.13.0", ["nvidia-cudnn-cu13==9.1"])],
)
def test_a_build_for_graphics_cards_is_refused(shelf, tmp_path, name, requires):
    (tmp_path / "named").mkdir()
    wheel = put_wheel(tmp_path / "named", name, requires, tag=LINUX)
    for named in (wheel, wheel.parent):
        with pytest.raises(SystemExit, match="build for graphics cards.*make bundle torch=PATH"):
            bundle(shelf, f"--torch={named}")
    assert not (tmp_path / "out/ftcourse-linux").exists()


def test_without_pytorch_the_build_says_what_to_name_and_goes_on_then(shelf, tmp_path):
    wheel = shelf / f"torch-2.13.0+cpu-{LINUX}.whl"
    (tmp_path / "elsewhere").mkdir()
    kept = Path(shutil.move(wheel, tmp_path / "elsewhere"))
    with pytest.raises(SystemExit, match=r"download\.pytorch\.org/whl/cpu \(.*torch.*\).\n.*make bundle torch=PATH"):
        bundle(shelf)
    other = put_wheel(tmp_path, "torch-2.13.0", tag=WINDOWS)
    for named in (
        tmp_path / "nowhere",
        other,
        shelf,
        shelf / "spoon-1.5-py3-none-any.whl",
        tmp_path / "site/index.html",
    ):
        with pytest.raises(SystemExit, match=re.escape(f"torch={named}")):
            bundle(shelf, f"--torch={named}")
    spoon = shelf / "spoon-1.5-py3-none-any.whl"
    spoon.rename(tmp_path / spoon.name)
    with pytest.raises(SystemExit, match="not to be had for linux.*spoon"):
        bundle(shelf, f"--torch={kept}")
    (tmp_path / spoon.name).rename(spoon)
    (shelf / "soup-1.0-py3-none-any.whl").unlink()  # the build that broke off has it
    assert len(wheels_in(bundle(shelf, f"--torch={kept.parent}") / "wheels")) == 4


def test_a_stick_for_another_system_has_its_wheels_and_says_that_nobody_tried(shelf, tmp_path, capsys):
    installer = tmp_path / "python-installer.exe"
    installer.write_text("from python.org")
    stick = bundle(shelf, f"--installer={installer}", platform="windows")
    wheels = wheels_in(stick / "wheels")
    assert {*wheels} == {"ftcourse", "torch", "soup", "spoon", "glass"} and WINDOWS in wheels["torch"].path.name
    said = capsys.readouterr().out
    assert "windows could not be tried" in said and "models left out: speech" in said and "5 wheels" in said
    sha256 = hashlib.sha256(b"from python.org").hexdigest()
    assert sha256 in (stick / "START-HERE.html").read_text() and sha256 in (stick / "SHA256SUMS").read_text()
    script = stick / "install.ps1"
    assert script.read_text().isascii() and not re.search(r"@[A-Z]+@", script.read_text())
    assert b"\r\n" in script.read_bytes() and not (stick / "install.sh").exists()


def test_the_page_of_instructions_is_whole_in_each_language(built):
    page = (built / "START-HERE.html").read_text()
    sections = re.findall(r'<section id="(\S+)" lang="\1" dir="(\w+)">(.+?)</section>', page, re.S)
    assert [(lang, side) for lang, side, _ in sections] == [(x, "rtl" if x == "ar" else "ltr") for x in languages()]
    for lang, _, text in sections:
        assert f"sh install.sh --lang {lang}" in text and f"ftcourse lab --lang {lang}" in text
        assert not re.search(r"\$\w|\{\w*\}|`", text) and f"Python {PYTHON}" in text
    assert Seen(page).fetched == [] and not re.search(r"https?:", page)


@pytest.mark.parametrize("script", ["install.sh", "install.ps1"])
def test_the_scripts_say_what_the_catalogue_has(script):
    text = (STICK / script).read_text()
    said = set(re.findall(r'(?:^|\|\| |&& |\{ |;; ?|\s)(?:say|fail|Say|Fail) "?([a-z_]+)', text, re.M))
    there = {key.removeprefix("install.") for key in catalogue("en", "stick") if key.startswith("install.")}
    assert said == there - ({"no_venv"} if script == "install.ps1" else set())
    for lang in languages():
        texts = catalogue(lang, "stick")
        assert all(texts[f"install.{key}"].count("{") <= 1 and "\n" not in texts[f"install.{key}"] for key in there)


def test_the_needs_of_a_package_are_followed_through_extras_and_systems(tmp_path):
    put_wheel(tmp_path, "a-1", ["b[lab]>=2", "c; python_version < '3.5'", "d; sys_platform == 'darwin'"])
    put_wheel(tmp_path, "b-1", ["e; extra == 'lab'"])
    assert closure(wheels_in(tmp_path), Requirement("a"), Target("linux", "3.11")) == ({"a", "b"}, {"b>=2"})
    put_wheel(tmp_path, "b-2.5", ["e; extra == 'lab'", "a[lab]"])
    assert closure(wheels_in(tmp_path), Requirement("a"), Target("linux", "3.11"))[1] == {"e"}
    assert closure(wheels_in(tmp_path), Requirement("a"), Target("macos", "3.11"))[1] == {"d", "e"}


@pytest.mark.parametrize(
    ("target", "tag", "fits"),
    [
        (("linux", "3.11"), "cp311-cp311-manylinux_2_17_x86_64", True),
        (("linux", "3.11"), "cp39-abi3-manylinux2014_x86_64", True),
        (("linux", "3.11"), "cp311-cp311-manylinux_2_39_x86_64", False),  # of a system newer than the room's
        (("linux", "3.12"), "cp311-cp311-manylinux_2_17_x86_64", False),
        (("linux", "3.11"), "cp311-cp311-manylinux_2_17_aarch64", False),
        (("macos", "3.11"), "cp311-cp311-macosx_11_0_universal2", True),
        (("macos", "3.11"), "cp311-cp311-macosx_11_0_x86_64", False),
        (("windows", "3.11"), "cp311-cp311-win32", False),
    ],
)
def test_what_fits_which_laptops(target, tag, fits):
    assert Target(*target).fits(Wheel(Path(f"soup-1.0-{tag}.whl"))) == fits


@pytest.mark.long
def test_the_real_stick_installs_without_a_route_in_five_minutes_and_runs_a_chapter(tmp_path):
    alone = ["unshare", "--net", *([] if os.getuid() == 0 else ["--map-root-user"]), "sh", "-c"]
    alone += ['ip link set lo up && ! ip route | grep . && exec "$@"', "sh"]
    if subprocess.run([*alone, "true"]).returncode:
        pytest.skip("a network of its own is not allowed here")
    subprocess.run([sys.executable, "-m", "tools.bundle", "--out", str(tmp_path)], cwd=ROOT, check=True)
    stick, home = tmp_path / "ftcourse-linux", tmp_path / "home"
    before = os.times()
    done = install(stick, home, "--lang", "ar", before=tuple(alone))
    assert done.returncode == 0, done.stdout + done.stderr
    after = os.times()  # seconds of one processor: other tests run beside this one
    assert after.children_user - before.children_user + after.children_system - before.children_system < 300
    command = [*alone, home / "ftcourse/.venv/bin/ftcourse", "learn", "--lang", "ar", "--chapter", "00_start"]
    environment = {"HOME": str(home), "PATH": "/usr/sbin:/usr/bin:/sbin:/bin"}
    done = subprocess.run(command, cwd=home, env=environment, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0 and "00_start" in done.stdout, done.stdout + done.stderr
    assert (home / "build/learn/ar/00_start.ipynb").is_file()
    again = install(stick, home, "--lang", "en", before=tuple(alone))
    assert again.returncode == 0 and again.stdout.endswith("--lang en\n")
