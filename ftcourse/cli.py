"""The command line. Exit codes: 0 done, 1 the run failed, 2 the call was wrong."""

import os
import platform
import shutil
import signal
import subprocess
import sys
import time
import warnings
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from functools import partial
from importlib.metadata import version
from importlib.util import find_spec
from pathlib import Path
from typing import Annotated

import typer

import ftcourse
from ftcourse.engine.checks import LANGS
from ftcourse.engine.folders import reason
from ftcourse.engine.messages import in_words, language, message, speaking

DEFAULT_LANG = language()
PACKAGE = Path(__file__).parent
PAGES = ("glossary.md", "tables.md")  # the chapters link to them
LIBRARIES = ("torch", "transformers", "datasets", "accelerate", "scikit-learn", "matplotlib")
LETTERS = {"ar": "\u0639", "zh": "\u4e2d", "zh-Hant": "\u9ad4"}


def say(key: str, /, **values) -> str:
    """What the command line says.

    >>> say("cores")
    'cores'
    """
    return message(language(), "cli", key, **values)


def check_lang(lang: str) -> str:
    """The language, where it is known; or else a usage error."""
    if lang not in LANGS:
        raise typer.BadParameter(in_words("unknown_language", given=lang, known=", ".join(LANGS)))
    return lang


app = typer.Typer(help=say("app"), no_args_is_help=True, add_completion=False, pretty_exceptions_enable=False)
Lang = Annotated[str, typer.Option(help=say("lang"), callback=check_lang)]
Table = Annotated[Path, typer.Argument(help=say("table"))]
Text = Annotated[list[str], typer.Option(help=say("text"))]
Encoding = Annotated[str | None, typer.Option(help=say("encoding"))]
Sheet = Annotated[str | None, typer.Option(help=say("sheet"))]
Host = Annotated[str, typer.Option(help=say("host"))]
Port = Annotated[int, typer.Option(help=say("port"), min=0, max=65535)]
Threshold = Annotated[float, typer.Option(help=say("threshold"))]
Windows = Annotated[bool | None, typer.Option("--windows/--no-windows", help=say("windows_as_trained"))]
Length = Annotated[int | None, typer.Option(help=say("max_length"))]
Backend = Annotated[str, typer.Option(help=say("backend"))]
Precision = Annotated[str, typer.Option(help=say("precision"))]


@contextmanager
def told(lang: str, stopped: str = "stopped_nothing") -> Iterator[None]:
    """Speaks a language, and ends the program with one line and an exit code where something goes wrong."""
    with speaking(lang), warnings.catch_warnings():
        warnings.showwarning = warned
        try:
            yield
        except typer.Exit:  # a RuntimeError, too
            raise
        except (ValueError, FileExistsError) as error:
            complain(error)
            if isinstance(error, FileExistsError) and "resume=True" in str(error):
                typer.echo(say("hint_exists"), err=True)
            raise typer.Exit(2) from None
        except (OSError, MemoryError, RuntimeError) as error:
            complain(error)
            raise typer.Exit(1) from None
        except KeyboardInterrupt:
            typer.echo(say(stopped), err=True)
            raise typer.Exit(1) from None


def warned(text: Warning | str, category: type[Warning], place: str, *more, show=warnings.showwarning) -> None:
    """One line for a warning of the package's own; those of the libraries look as ever."""
    if category is UserWarning and PACKAGE in Path(place).parents:
        typer.echo(say("note", text=text), err=True)
    else:
        show(text, category, place, *more)


def complain(error: BaseException) -> None:
    """One line about an error, on the error output."""
    text = " ".join((str(error) or type(error).__name__).split())
    if isinstance(error, OSError) and error.errno:  # what the system says, without its number
        text = f"{error.filename}: {reason(error)}" if error.filename else reason(error)
    typer.echo(say("error", text=text), err=True)


@app.command(help=say("finetune"))
def finetune(
    table: Table,
    text: Text,
    label: Annotated[list[str], typer.Option(help=say("label"))],
    out: Annotated[Path, typer.Option(help=say("out_dir"))],
    lang: Lang = DEFAULT_LANG,
    model: Annotated[str | None, typer.Option(help=say("model"))] = None,
    validation: Annotated[float | None, typer.Option(help=say("validation"), show_default="0.1")] = None,
    validation_file: Annotated[Path | None, typer.Option(help=say("validation_file"))] = None,
    group: Annotated[str | None, typer.Option(help=say("group"))] = None,
    epochs: Annotated[int | None, typer.Option(help=say("epochs"))] = None,
    batch_size: Annotated[int | None, typer.Option(help=say("batch_size"))] = None,
    lr: Annotated[float | None, typer.Option(help=say("lr"))] = None,
    seed: Annotated[int | None, typer.Option(help=say("seed"))] = None,
    resume: Annotated[bool, typer.Option("--resume", help=say("resume"))] = False,
    multi_label: Annotated[bool | None, typer.Option("--multi-label/--one-label", help=say("multi_label"))] = None,
    class_weights: Annotated[str | None, typer.Option(help=say("class_weights"))] = None,
    keep: Annotated[str | None, typer.Option(help=say("keep_best"), show_default="last")] = None,
    patience: Annotated[int | None, typer.Option(help=say("patience"))] = None,
    regression: Annotated[bool, typer.Option("--regression", help=say("regression"))] = False,
    max_length: Length = None,
    windows: Annotated[bool, typer.Option("--windows", help=say("windows"))] = False,
    method: Annotated[str, typer.Option(help=say("method"))] = "full",
    rank: Annotated[int, typer.Option(help=say("rank"))] = 8,
    merge: Annotated[bool, typer.Option("--merge", help=say("merge"))] = False,
    encoding: Encoding = None,
    sheet: Sheet = None,
) -> None:
    with told(lang, "stopped"):
        from ftcourse import finetune as chapter
        from ftcourse.engine.launch import process_number
        from ftcourse.engine.report import load_report
        from ftcourse.engine.tables import TableFile

        given = {"epochs": epochs, "batch_size": batch_size, "lr": lr, "seed": seed, "class_weights": class_weights}
        given |= {"keep": keep, "patience": patience}
        chapter.finetune(
            TableFile(table, encoding, sheet),
            text=text,
            label=label[0] if len(label) == 1 else label,
            lang=lang,
            model=model,
            output_dir=out,
            validation=validation_of(validation, validation_file, encoding, sheet),
            resume=resume,
            multi_label=multi_label,
            regression=regression,
            group=group,
            max_length=max_length,
            windows=windows,
            method=method,
            rank=rank,
            merge=merge,
            **{name: value for name, value in given.items() if value is not None},
        )
        if process_number():
            return
        source = load_report(out).source
        for table in filter(None, (source, source.get("valid"))):
            tell_encoding(table)
        typer.echo(say("saved", folder=out, report=out / "report.html"))


@app.command("launch", help=say("launch"), context_settings={"allow_interspersed_args": False})
def launch_command(
    command: Annotated[list[str], typer.Argument(help=say("launch_command"))],
    nproc_per_node: Annotated[int, typer.Option(help=say("nproc_per_node"), min=1)] = 1,
    nnodes: Annotated[int, typer.Option(help=say("nnodes"), min=1)] = 1,
    node_rank: Annotated[int, typer.Option(help=say("node_rank"), min=0)] = 0,
    master_addr: Annotated[str, typer.Option(help=say("master_addr"))] = "127.0.0.1",
    master_port: Annotated[int, typer.Option(help=say("master_port"), min=1, max=65535)] = 29500,
    wait: Annotated[int, typer.Option(help=say("launch_wait"), min=1)] = 120,
    lang: Lang = DEFAULT_LANG,
) -> None:
    with told(lang, "stopped"):
        from ftcourse.engine.launcher import launch

        raise typer.Exit(launch(command, nproc_per_node, nnodes, node_rank, master_addr, master_port, wait))


def validation_of(share: float | None, file: Path | None, encoding: str | None, sheet: str | None) -> object:
    """The share of rows, or the table, that a call validates with; the sheet counts for it if it is an Excel file, too.

    >>> validation_of(None, None, None, None), validation_of(None, Path("a.csv"), "cp1256", "May").sheet
    (0.1, None)
    """
    from ftcourse.engine.tables import TableFile

    if file is None:
        return 0.1 if share is None else share
    if share is not None:
        raise ValueError(say("two_validations"))
    return TableFile(file, encoding, sheet if file.suffix.lower().startswith(".xls") else None)


def tell_threshold(model: Path, threshold: float) -> None:
    """One line about a probability that was named where the model has no use for it."""
    from ftcourse.engine.loading import json_object

    config = json_object(model / "config.json") or {"problem_type": "multi_label_classification"}
    if threshold != 0.5 and config.get("problem_type") != "multi_label_classification":
        typer.echo(say("note", text=say("no_threshold", given=threshold)), err=True)


def tell_encoding(source: dict, *, err: bool = False) -> None:
    """One line about the encoding in which a table was read, where it is none that goes without saying."""
    if source["encoding"] not in ("utf-8", "utf-8-sig", "parquet", "xlsx"):
        typer.echo(say("read_as", name=source["name"], encoding=source["encoding"]), err=err)


@app.command(help=say("predict"))
def predict(
    model: Annotated[Path, typer.Argument(help=say("model_dir"))],
    table: Annotated[Path, typer.Argument(help=say("table_or_pipe"), allow_dash=True)],
    *,
    text: Annotated[list[str] | None, typer.Option(help=say("text"))] = None,
    out: Annotated[Path, typer.Option(help=say("out_file"), allow_dash=True)],
    keep: Annotated[list[str] | None, typer.Option(help=say("keep"))] = None,
    lines: Annotated[bool, typer.Option("--lines", help=say("lines"))] = False,
    lang: Lang = DEFAULT_LANG,
    raw: Annotated[bool, typer.Option("--raw", help=say("raw"))] = False,
    force: Annotated[bool, typer.Option("--force", help=say("force"))] = False,
    threshold: Threshold = 0.5,
    max_length: Length = None,
    windows: Windows = None,
    precision: Precision = "no",
    backend: Backend = "torch",
    encoding: Encoding = None,
    sheet: Sheet = None,
    num_processes: Annotated[int, typer.Option(help=say("num_processes"), min=1)] = 1,
) -> None:
    piped, work = str(out) == "-", {"precision": precision, "backend": backend}
    with told(lang, "stopped_nothing" if piped else "stopped_answers"):
        from ftcourse.engine import answers, shards
        from ftcourse.engine.launch import several
        from ftcourse.engine.tables import TableFile
        from ftcourse.inference import Predictor

        if not text and not lines:
            raise ValueError(say("needs_text"))
        if not piped:
            answers.check_out(out, table)
        if not piped and out.exists() and not force:
            raise FileExistsError(say("file_exists", name=str(out)))
        if several():
            raise ValueError(say("not_launched"))
        if piped and num_processes > 1:
            raise ValueError(say("shards_need_file"))
        tell_threshold(model, threshold)
        asked = answers.Asked(
            TableFile(table, encoding, sheet),
            columns=text or [answers.LINE],
            keep=answers.names_in(keep or []),
            lines=lines,
            raw=raw,
            lang=lang,
            how={"threshold": threshold, "max_length": max_length, "windows": windows} | work,
        )
        if piped:
            found = answers.answers_to_pipe(Predictor, model, asked, sys.stdout.buffer)
        else:
            in_shards = partial(shards.write_shards, number=num_processes) if num_processes > 1 else None
            found = answers.answers_to_file(Predictor, model, asked, out, in_shards)
        if found is None:
            leave_pipe()
        counts, source = found
        tell_encoding(source, err=piped)
        typer.echo(say("answered_pipe" if piped else "answered", **counts, name=out), err=piped)
        if counts["cells"]:
            typer.echo(say("neutralised", cells=counts["cells"]), err=piped)


def leave_pipe() -> None:
    """End quietly where nobody reads the standard output any more, as with `| head`."""
    with suppress(OSError, ValueError):
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    raise typer.Exit(0)


@app.command("serve", help=say("serve"))
def serve_model(
    model: Annotated[Path, typer.Argument(help=say("model_dir"))],
    host: Host = "127.0.0.1",
    port: Port = 8000,
    lang: Lang = DEFAULT_LANG,
    origin: Annotated[list[str] | None, typer.Option(help=say("serve_origin"))] = None,
    threshold: Threshold = 0.5,
    precision: Precision = "no",
    backend: Backend = "torch",
) -> None:
    with told(lang):
        from ftcourse.room.settings import urls_of
        from ftcourse.service.serve import is_local, serve

        def ready(port: int) -> None:
            urls = urls_of(host, port)
            typer.echo(say("serving", model=model, url=urls[0]))
            if not is_local(host):
                typer.echo(say("serving_all", urls=", ".join(urls)), err=True)
            sys.stdout.flush()

        tell_threshold(model, threshold)
        with suppress(KeyboardInterrupt):
            how = {"threshold": threshold, "precision": precision, "backend": backend}
            serve(model, host=host, port=port, lang=lang, origins=origin or (), ready=ready, **how)
        typer.echo(say("serve_stopped"))


@app.command("evaluate", help=say("evaluate"))
def evaluate_model(
    model: Annotated[Path, typer.Argument(help=say("model_dir"))],
    table: Table,
    text: Text,
    label: Annotated[list[str], typer.Option(help=say("label"))],
    out: Annotated[Path | None, typer.Option(help=say("out_report"))] = None,
    lang: Lang = DEFAULT_LANG,
    force: Annotated[bool, typer.Option("--force", help=say("force"))] = False,
    threshold: Threshold = 0.5,
    max_length: Length = None,
    windows: Windows = None,
    precision: Precision = "no",
    backend: Backend = "torch",
    encoding: Encoding = None,
    sheet: Sheet = None,
) -> None:
    with told(lang):
        from ftcourse.engine.scoring import check_place, write_report
        from ftcourse.engine.tables import TableFile
        from ftcourse.finetune import evaluate_table

        if out:
            check_place(out, force)
        tell_threshold(model, threshold)
        how = {"threshold": threshold, "max_length": max_length, "windows": windows}
        how |= {"precision": precision, "backend": backend}
        table = TableFile(table, encoding, sheet)
        label = label[0] if len(label) == 1 else label
        report = evaluate_table(model, table, text=text, label=label, lang=lang, **how)
        typer.echo(report)
        tell_encoding(report.source)
        if out:
            typer.echo(say("reported", name=write_report(report, out)))


def notebooks(lang: str) -> list[Path]:
    """The chapters in a language, in reading order: those of the wheel, or of the checkout.

    Raises `ValueError`, naming the languages that have some, where there are none.
    """
    roots = [PACKAGE / "notebooks", PACKAGE.parent / "nbs"]
    found = {path.parent.name for root in roots for path in root.glob("*/[0-9]*.ipynb")}
    for root in roots:
        if paths := sorted((root / lang).glob("[0-9]*.ipynb")):
            return paths
    raise ValueError(say("no_notebooks", lang=lang, known=", ".join(sorted(found)) or "-"))


def need(module: str) -> None:
    """Make sure that a module of the extra `lab` is there; a `RuntimeError` says how to get it."""
    if find_spec(module) is None:
        raise RuntimeError(say("needs_lab"))


@app.command(help=say("learn"))
def learn(
    lang: Lang = DEFAULT_LANG,
    chapter: Annotated[str | None, typer.Option(help=say("chapter"))] = None,
    folder: Annotated[Path, typer.Option(help=say("folder"))] = Path("build/learn"),
) -> None:
    with told(lang):
        need("nbclient")
        paths = notebooks(lang)
        chosen = [path for path in paths if chapter in (None, path.stem)]
        if not chosen:
            known = ", ".join(path.stem for path in paths)
            raise ValueError(say("unknown_chapter", given=chapter, known=known))
        (folder / lang).mkdir(parents=True, exist_ok=True)
        for path in chosen:
            started = time.perf_counter()
            run_chapter(path, folder / lang / path.name)
            typer.echo(say("chapter_done", chapter=path.stem, seconds=round(time.perf_counter() - started)))


def execute_aside(client, env: dict) -> None:
    """Run a client's notebook in a thread of its own: in the main thread nbclient takes Ctrl-C for itself.

    Ctrl-C ends the kernel at once.
    """
    with ThreadPoolExecutor(max_workers=1) as pool:
        execution = pool.submit(client.execute, env=env)
        try:
            execution.result()
        except KeyboardInterrupt:
            if client.km and client.km.provisioner and client.km.provisioner.pid:
                os.kill(client.km.provisioner.pid, getattr(signal, "SIGKILL", signal.SIGTERM))
            raise


def run_chapter(path: Path, target: Path) -> None:
    """Run a notebook, and write it with its results; a `RuntimeError` names the error that stopped it."""
    import nbformat
    from nbclient import NotebookClient
    from nbclient.exceptions import CellExecutionError
    from tqdm.auto import tqdm

    nb = nbformat.read(path, as_version=4)
    number = sum(cell.cell_type == "code" for cell in nb.cells)
    with tqdm(total=number, desc=path.stem, disable=not sys.stderr.isatty(), leave=False) as bar:
        options = {"timeout": 600, "on_cell_executed": lambda **_: bar.update()}
        options["extra_arguments"] = ["--log-level=ERROR"]  # the kernel's remarks on how it talks to this process
        client = NotebookClient(nb, resources={"metadata": {"path": str(target.parent)}}, **options)
        try:
            execute_aside(client, {**os.environ, "PYTHONUTF8": "1"})
        except CellExecutionError as error:
            reason = f"{error.ename}: {error.evalue}"
            raise RuntimeError(say("failed_chapter", chapter=path.stem, reason=reason)) from None
    nbformat.write(nb, target)


@app.command(help=say("lab"))
def lab(
    lang: Lang = DEFAULT_LANG,
    folder: Annotated[Path, typer.Option(help=say("folder"))] = Path("ftcourse-notebooks"),
    no_open: Annotated[bool, typer.Option("--no-open", help=say("no_open"))] = False,
) -> None:
    with told(lang):
        paths, target = notebooks(lang), folder / lang
        target.mkdir(parents=True, exist_ok=True)
        fresh = [path for path in paths if not (target / path.name).exists()]
        for path in fresh:
            shutil.copy(path, target)
        for page in PAGES:
            if not (target / page).exists():
                shutil.copy(paths[0].with_name(page), target)
        values = {"count": len(fresh), "folder": target, "kept": len(paths) - len(fresh)}
        typer.echo(say("copied", **values))
        if not no_open:
            need("jupyterlab")
            lab = subprocess.run([sys.executable, "-m", "jupyterlab", str(target / paths[0].name)], check=False)
            raise typer.Exit(int(lab.returncode != 0))


@app.command(help=say("export"))
def export(
    name: Annotated[str, typer.Argument(help=say("kit_model"))],
    folder: Annotated[Path, typer.Argument(help=say("export_dir"))],
    lang: Lang = DEFAULT_LANG,
) -> None:
    with told(lang):
        from ftcourse.engine.assets import export_model

        typer.echo(say("exported", name=name, folder=export_model(name, folder)))


@app.command("hub", help=say("hub_command"))
def serve_hub(
    folder: Annotated[Path, typer.Option(help=say("hub_folder"))],
    host: Host = "127.0.0.1",
    port: Port = 8000,
    lang: Lang = DEFAULT_LANG,
    token: Annotated[list[str] | None, typer.Option(help=say("hub_token"))] = None,
) -> None:
    with told(lang):
        from ftcourse.room.background import check_server

        check_server(lang)
        from ftcourse.room.names import Refusal
        from ftcourse.room.serve import serve
        from ftcourse.room.settings import described, urls_of

        def ready(hub, port: int) -> None:
            urls = urls_of(host, port)
            typer.echo(say("hub_serving", folder=folder, url=urls[0]))
            if urls[1:]:
                typer.echo(say("hub_also", urls=", ".join(urls[1:])))
            for place, refusal in hub.left_out.items():
                typer.echo(say("hub_left_out", place=place, reason=refusal.words(lang)), err=True)
            names = ", ".join(sorted(name for name, _ in hub.people.given.values()))
            typer.echo(f"\n{say('hub_closed' if names else 'hub_open', names=names)}\n")
            typer.echo(described(urls[0], lang))
            sys.stdout.flush()

        try:
            serve(folder, host=host, port=port, lang=lang, tokens=tuple(token or ()), ready=ready)
        except Refusal as refusal:  # of a token
            raise ValueError(refusal.words(lang)) from None
        except KeyboardInterrupt:
            pass
        typer.echo(say("hub_stopped", folder=folder))


@app.command("site", help=say("site"))
def serve_site(
    folder: Annotated[Path | None, typer.Option(help=say("site_folder"))] = None,
    host: Host = "127.0.0.1",
    port: Port = 8080,
    lang: Lang = DEFAULT_LANG,
) -> None:
    with told(lang):
        from ftcourse.engine.website import find_site, make_server
        from ftcourse.room.settings import urls_of

        with make_server(find_site(folder), host, port, lang) as server:
            urls = [f"{url}/" for url in urls_of(host, server.server_port)]
            typer.echo(say("site_serving", url=urls[0]))
            if urls[1:]:
                typer.echo(say("hub_also", urls=", ".join(urls[1:])))
            sys.stdout.flush()
            with suppress(KeyboardInterrupt):
                server.serve_forever()
        typer.echo(say("site_stopped"))


@app.command(help=say("get"))
def get(
    name: Annotated[str, typer.Argument(help=say("get_name"))],
    lang: Lang = DEFAULT_LANG,
) -> None:
    with told(lang):
        from ftcourse.engine.fetch import fetch
        from ftcourse.engine.progress import quiet_libraries

        with quiet_libraries():
            typer.echo(say("got", name=name, folder=fetch(name)))


@app.command(help=say("assignment"))
def assignment(
    chapter: Annotated[str, typer.Argument(help=say("assignment_chapter"))],
    folder: Annotated[Path, typer.Option(help=say("assignment_folder"))] = Path("class"),
    lang: Lang = DEFAULT_LANG,
    force: Annotated[bool, typer.Option("--force", help=say("force"))] = False,
) -> None:
    with told(lang):
        from ftcourse.grading.notebooks import write_assignment

        path = write_assignment(chapter, lang, folder, force)
        values = {"path": path, "submitted": folder / "submitted", "chapter": chapter, "folder": folder}
        typer.echo(say("assigned", **values))


@app.command("grade", help=say("grade"))
def grade_folder(
    folder: Annotated[Path, typer.Argument(help=say("grade_folder"))],
    lang: Lang = DEFAULT_LANG,
    seconds: Annotated[float, typer.Option(help=say("grade_seconds"), min=1)] = 120,
    memory: Annotated[float, typer.Option(help=say("grade_memory"), min=0.1)] = 2,
) -> None:
    with told(lang):
        from ftcourse.grading.marks import FEEDBACK, grade

        table = grade(folder, lang, seconds, int(memory * 1e9), typer.echo)
        typer.echo(say("graded", table=table, feedback=folder / FEEDBACK))


def kit_state() -> str | None:
    """What is wrong with the kit, or else None."""
    from ftcourse.engine.assets import check_folder, manifest

    try:
        for folder in sorted({"/".join(path.split("/")[:2]) for path in manifest() if path.count("/") >= 2}):
            check_folder(folder)
    except OSError as error:
        return str(error)
    return None


def fontless() -> list[str]:
    """The languages that have no font for pictures on this machine."""
    from matplotlib import font_manager, ft2font

    paths = {entry.fname for entry in font_manager.fontManager.ttflist}
    missing = dict(LETTERS)
    for path in sorted(paths):
        try:
            known = ft2font.FT2Font(path).get_charmap()
        except (OSError, RuntimeError):
            continue
        missing = {lang: letter for lang, letter in missing.items() if ord(letter) not in known}
    return sorted(missing)


def hub_state() -> str:
    """Whether the Hub can be reached."""
    from ftcourse.engine.hub import hub_trouble

    return say("unreachable" if hub_trouble(3) else "reachable")


def gigabytes(free: int, total: int) -> str:
    """Two numbers of bytes, in words."""
    return say("gigabytes", free=round(free / 1e9, 1), total=round(total / 1e9, 1))


@app.command(help=say("doctor"))
def doctor(lang: Lang = DEFAULT_LANG) -> None:
    with told(lang):
        import psutil
        import torch

        memory, disk, broken, missing = psutil.virtual_memory(), shutil.disk_usage("."), kit_state(), fontless()
        gpu = torch.accelerator.current_accelerator() if torch.accelerator.is_available() else None
        versions = [f"ftcourse {ftcourse.__version__}", f"Python {platform.python_version()}"]
        versions += [f"{name} {version(name)}" for name in LIBRARIES]
        found = {
            "versions": ", ".join(versions),
            "cores": os.cpu_count(),
            "memory": gigabytes(memory.available, memory.total),
            "gpu": gpu or say("none"),
            "kit": broken or say("whole"),
            "fonts": say("no_font", langs=", ".join(missing)) if missing else say("all_fonts"),
            "hub": hub_state(),
            "disk": gigabytes(disk.free, disk.total),
        }
        for key, value in found.items():
            typer.echo(f"{say(key)}: {value}")
        if broken:
            raise typer.Exit(1)


def main() -> None:
    """The entry point."""
    for stream in (sys.stdout, sys.stderr):  # a pipe may have an encoding that lacks the language's letters
        if hasattr(stream, "reconfigure"):
            stream.reconfigure(errors="backslashreplace")
    app()


if __name__ == "__main__":
    main()
