"""The command line. Exit codes: 0 done, 1 the run failed, 2 the call was wrong."""

import csv
import hashlib
import json
import os
import platform
import re
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from importlib.metadata import version
from importlib.util import find_spec
from pathlib import Path
from typing import Annotated

import typer

import ftcourse
from ftcourse.engine.checks import LANGS
from ftcourse.engine.folders import written_whole
from ftcourse.engine.messages import in_words, language, message, speaking

NUMBER = re.compile(r"[+-]?\d+([.,]\d+)?")
FORMULA = ("=", "+", "-", "@", "\t", "\r")
DEFAULT_LANG = language()
PACKAGE = Path(__file__).parent
GLOSSARY = "glossary.md"  # the chapters link to it
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


@contextmanager
def told(lang: str, stopped: str = "stopped_nothing") -> Iterator[None]:
    """Speaks a language, and ends the program with one line and an exit code where something goes wrong."""
    with speaking(lang):
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


def complain(error: BaseException) -> None:
    """One line about an error, on the error output."""
    text = " ".join((str(error) or type(error).__name__).split())
    typer.echo(say("error", text=text), err=True)


@app.command(help=say("finetune"))
def finetune(
    table: Table,
    text: Text,
    label: Annotated[list[str], typer.Option(help=say("label"))],
    out: Annotated[Path, typer.Option(help=say("out_dir"))],
    lang: Lang = DEFAULT_LANG,
    model: Annotated[str | None, typer.Option(help=say("model"))] = None,
    validation: Annotated[float, typer.Option(help=say("validation"))] = 0.1,
    epochs: Annotated[int | None, typer.Option(help=say("epochs"))] = None,
    batch_size: Annotated[int | None, typer.Option(help=say("batch_size"))] = None,
    lr: Annotated[float | None, typer.Option(help=say("lr"))] = None,
    seed: Annotated[int | None, typer.Option(help=say("seed"))] = None,
    resume: Annotated[bool, typer.Option("--resume", help=say("resume"))] = False,
    multi_label: Annotated[bool | None, typer.Option("--multi-label/--one-label", help=say("multi_label"))] = None,
    class_weights: Annotated[str | None, typer.Option(help=say("class_weights"))] = None,
    regression: Annotated[bool, typer.Option("--regression", help=say("regression"))] = False,
    encoding: Encoding = None,
    sheet: Sheet = None,
) -> None:
    with told(lang, "stopped"):
        from dataclasses import replace

        from ftcourse import finetune as chapter
        from ftcourse.engine.report import load_report
        from ftcourse.engine.tables import TableFile

        given = {"epochs": epochs, "batch_size": batch_size, "lr": lr, "seed": seed, "class_weights": class_weights}
        given = {name: value for name, value in given.items() if value is not None}
        config = replace(chapter.default_config(model), **given)
        chapter.finetune(
            TableFile(table, encoding, sheet),
            text=text,
            label=label[0] if len(label) == 1 else label,
            lang=lang,
            model=model,
            output_dir=out,
            validation=validation,
            config=config,
            resume=resume,
            multi_label=multi_label,
            regression=regression,
        )
        tell_encoding(load_report(out).source)
        typer.echo(say("saved", folder=out, report=out / "report.html"))


def tell_encoding(source: dict) -> None:
    """One line about the encoding in which a table was read, where it is none that goes without saying."""
    if source["encoding"] not in ("utf-8", "utf-8-sig", "parquet", "xlsx"):
        typer.echo(say("read_as", name=source["name"], encoding=source["encoding"]))


def neutral(cell: object) -> str:
    """A cell that no spreadsheet takes for a formula: with an apostrophe in front where it began like one.

    >>> neutral("=1+1"), neutral("1+1"), neutral(None)
    ("'=1+1", '1+1', '')
    """
    text = "" if cell is None else str(cell)
    return f"'{text}" if text.startswith(FORMULA) and not NUMBER.fullmatch(text) else text


def answer_columns(config, columns: list[str]) -> list[str]:
    """The names of the columns for the answers, none of which is among the `columns` of the texts.

    >>> from transformers import PretrainedConfig
    >>> answer_columns(PretrainedConfig(), ["review"]), answer_columns(PretrainedConfig(), ["label"])
    (['label', 'probability'], ['label (2)', 'probability'])
    """
    several = [f"probability: {config.id2label[number]}" for number in range(config.num_labels)]
    kinds = {"multi_label_classification": ["label", *several], "regression": ["label"]}
    names = []
    for name in kinds.get(config.problem_type, ["label", "probability"]):
        free = [name, *(f"{name} ({number})" for number in range(2, len(columns) + len(several) + 3))]
        names.append(next(one for one in free if one not in (*columns, *names)))
    return names


def answer_cells(found, config) -> list[tuple[str, ...]]:
    """What goes into those columns for each answer of a predictor."""
    if config.problem_type == "regression":
        return [(f"{number:.4f}",) for number in found.labels]
    if config.problem_type == "multi_label_classification":
        apart = not any(";" in name for name in config.id2label.values())
        cells = [";".join(names) if apart else json.dumps(names, ensure_ascii=False) for names in found.labels]
        return [(cell, *(f"{one:.4f}" for one in row)) for cell, row in zip(cells, found.probabilities, strict=True)]
    return [(label, f"{one:.4f}") for label, one in zip(found.labels, found.probabilities.max(axis=1), strict=True)]


def answer_batch(predictor, batch: dict, columns: list[str]) -> list[tuple]:
    """For each row its texts, its label and how probable it is; a row with a gap has neither."""
    rows = list(zip(*(batch[name] for name in columns), strict=True))
    good = [number for number, row in enumerate(rows) if all(text and text.strip() for text in row)]
    config = predictor.model.config
    answers = [("",) * len(answer_columns(config, columns))] * len(rows)
    if good:
        found = predictor.predict(*zip(*(rows[number] for number in good), strict=True))
        for number, cells in zip(good, answer_cells(found, config), strict=True):
            answers[number] = cells
    return [(*row, *answer) for row, answer in zip(rows, answers, strict=True)]


def stamp(path: Path) -> list:
    """What changes when a file, or one in a folder, is written anew: names, sizes and times."""
    files = sorted(path.glob("[!.]*")) if path.is_dir() else [path]
    return [(str(file), file.stat().st_size, file.stat().st_mtime_ns) for file in files if file.is_file()]


def part_of(
    out: Path, model: Path, table: Path, columns: list[str], raw: bool, lang: str, how: tuple = (None, None, 0.5)
) -> Path:
    """Where the answers go until all are there: for the same call, model and table, the same file."""
    call = json.dumps([str(model), stamp(model), str(table), stamp(table), columns, raw, lang, how])
    return out.with_name(f".{out.name}.{hashlib.sha256(call.encode()).hexdigest()[:8]}.part")


def progress(part: Path) -> dict[str, int]:
    """How far an earlier run came: counts of rows, answers and harmless cells, and the length of the file then."""
    try:
        counts = json.loads(part.with_suffix(".json").read_text(encoding="utf-8"))
        return counts if part.stat().st_size >= counts["bytes"] else {}
    except (OSError, ValueError):
        return {}


def note_progress(part: Path, counts: dict[str, int]) -> None:
    """Keep the counts beside the part, whole or not at all."""
    with written_whole(part.with_suffix(".json")) as fresh:
        fresh.write_text(json.dumps(counts), encoding="utf-8")


def write_answers(part: Path, rows, predictor, columns: list[str], raw: bool) -> dict[str, int]:
    """Write the answers for all rows to a CSV, some at a time, after those that are there; returns the counts."""
    from tqdm.auto import tqdm

    counts = {"rows": 0, "answered": 0, "cells": 0} | progress(part)
    done = counts["rows"]
    if done:
        os.truncate(part, counts["bytes"])
    with (
        open(part, "a" if done else "w", encoding="utf-8-sig", newline="") as file,
        tqdm(initial=done, total=len(rows), unit=f" {say('predicting')}", disable=not sys.stderr.isatty()) as bar,
    ):
        writer = csv.writer(file)
        if not done:
            named = [*columns, *answer_columns(predictor.model.config, columns)]
            writer.writerow([*map(str if raw else neutral, named)])
        for batch in (rows[start : start + 1000] for start in range(done, len(rows), 1000)):
            for row in answer_batch(predictor, batch, list(batch)):
                cells = ["" if cell is None else cell for cell in row] if raw else [neutral(cell) for cell in row]
                counts["rows"] += 1
                counts["answered"] += bool(row[-1])
                counts["cells"] += sum(cell != (given or "") for cell, given in zip(cells, row, strict=True))
                writer.writerow(cells)
            file.flush()
            note_progress(part, counts | {"bytes": file.buffer.tell()})
            bar.update(len(batch["text"]))
    return counts


@app.command(help=say("predict"))
def predict(
    model: Annotated[Path, typer.Argument(help=say("model_dir"))],
    table: Table,
    text: Text,
    out: Annotated[Path, typer.Option(help=say("out_file"))],
    lang: Lang = DEFAULT_LANG,
    raw: Annotated[bool, typer.Option("--raw", help=say("raw"))] = False,
    force: Annotated[bool, typer.Option("--force", help=say("force"))] = False,
    threshold: Annotated[float, typer.Option(help=say("threshold"))] = 0.5,
    encoding: Encoding = None,
    sheet: Sheet = None,
) -> None:
    with told(lang, "stopped_answers"):
        from ftcourse.engine.progress import quiet_libraries
        from ftcourse.engine.tables import TableFile, read_texts
        from ftcourse.inference import Predictor

        if out.exists() and not force:
            raise FileExistsError(say("file_exists", name=str(out)))
        part = part_of(out, model, table, text, raw, lang, (encoding, sheet, threshold))
        work = out.with_name(f".{out.name}.work")
        try:
            part.touch()
            with quiet_libraries():
                rows, source = read_texts(TableFile(table, encoding, sheet), text, lang, str(work))
                predictor = Predictor(model, threshold=threshold)
                counts = write_answers(part, rows, predictor, text, raw)
                os.replace(part, out)
            part.with_suffix(".json").unlink(missing_ok=True)
        except OSError as error:
            values = {"name": str(out), "reason": error.strerror or str(error)}
            kept = f" {say('kept')}" if progress(part) else ""
            raise OSError(say("cannot_write", **values) + kept) from error
        finally:
            with suppress(OSError):
                if not progress(part):
                    for suffix in (".part", ".json"):
                        part.with_suffix(suffix).unlink(missing_ok=True)
            shutil.rmtree(work, ignore_errors=True)
        tell_encoding(source)
        typer.echo(say("answered", rows=counts["rows"], answered=counts["answered"], name=out))
        if counts["cells"]:
            typer.echo(say("neutralised", cells=counts["cells"]))


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
        if not (target / GLOSSARY).exists():
            shutil.copy(paths[0].with_name(GLOSSARY), target)
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
    host: Annotated[str, typer.Option(help=say("hub_host"))] = "127.0.0.1",
    port: Annotated[int, typer.Option(help=say("hub_port"), min=0, max=65535)] = 8000,
    lang: Lang = DEFAULT_LANG,
    token: Annotated[list[str] | None, typer.Option(help=say("hub_token"))] = None,
) -> None:
    with told(lang):
        from ftcourse.room.background import check_server

        check_server(lang)
        from ftcourse.room.names import Refusal
        from ftcourse.room.serve import serve
        from ftcourse.room.settings import addresses, described

        def ready(hub, port: int) -> None:
            urls = [f"http://{address}:{port}" for address in addresses(host)]
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
    host: Annotated[str, typer.Option(help=say("hub_host"))] = "127.0.0.1",
    port: Annotated[int, typer.Option(help=say("site_port"), min=0, max=65535)] = 8080,
    lang: Lang = DEFAULT_LANG,
) -> None:
    with told(lang):
        from ftcourse.engine.website import find_site, make_server
        from ftcourse.room.settings import addresses

        with make_server(find_site(folder), host, port, lang) as server:
            urls = [f"http://{address}:{server.server_port}/" for address in addresses(host)]
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
