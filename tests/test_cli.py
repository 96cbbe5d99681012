"""The command line: what it does, what it says, and with which exit code it ends."""

import csv
import json
import os
import re
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import pandas as pd
import pytest
from torch.distributed.run import get_args_parser
from typer.main import get_command
from typer.testing import CliRunner

from ftcourse.cli import app
from ftcourse.engine import answers
from ftcourse.engine.answers import neutral
from ftcourse.engine.calls import plain
from ftcourse.engine.checks import LANGS
from ftcourse.engine.messages import catalogue
from ftcourse.engine.options import Options, options_of
from ftcourse.engine.tables import TableFile
from ftcourse.finetune import default_config
from ftcourse.inference import Predictor
from ftcourse.kit import Kit
from ftcourse.loop import TrainConfig
from tests.tiny import heed_interrupts, tiny_checkpoint
from tools.settings import ROOT, notebook

RUNNER = CliRunner()
ENVIRONMENT = {**os.environ, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}
STARS = Kit().model("stars")


def ask(*words: object, code: int = 0):
    """Call the command line, and want an exit code."""
    result = RUNNER.invoke(app, [str(word) for word in words])
    assert result.exit_code == code, (result.output, result.exception)
    return result


@pytest.fixture
def reviews(tmp_path):
    texts = [f"{word} food, visit {n}" for n in range(20) for word in ("good", "bad")]
    pd.DataFrame({"review": texts, "stars": [5, 1] * 20}).to_csv(tmp_path / "reviews.csv", index=False)
    return tmp_path / "reviews.csv"


@pytest.fixture(scope="module")
def tiny(tmp_path_factory) -> str:
    return tiny_checkpoint(tmp_path_factory.mktemp("tiny"))


def finetune(reviews, tiny, *more, code=0):
    out = reviews.parent / "model"
    return ask(
        "finetune", reviews, "--text", "review", "--label", "stars", "--out", out, "--model", tiny, *more, code=code
    )


def test_from_a_table_to_answers(reviews, tiny, tmp_path):
    said = finetune(reviews, tiny, "--epochs", 1).output
    assert "40 rows were read" in said and "The model is in" in said
    ask("predict", tmp_path / "model", reviews, "--text", "review", "--out", tmp_path / "answers.csv")
    answers = pd.read_csv(tmp_path / "answers.csv", dtype=str)
    assert list(answers) == ["review", "label", "probability"] and {*answers["label"]} <= {"1", "5"}
    assert answers["review"].tolist() == pd.read_csv(reviews)["review"].tolist()
    assert sorted(path.name for path in tmp_path.iterdir()) == ["answers.csv", "model", "reviews.csv"]


def test_settings_arrive(reviews, tiny, tmp_path):
    finetune(reviews, tiny, "--epochs", 2, "--batch-size", 5, "--lr", 0.001, "--seed", 7, "--validation", 0.25)
    setting = json.loads((tmp_path / "model" / "report.json").read_text())["setting"]
    assert (setting["epochs"], setting["batch_size"], setting["lr"], setting["seed"]) == (2, 5, 0.001, 7)


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("reviews.csv", "is the table itself"),
        ("../{}/reviews.csv", "is the table itself"),
        ("here", "is a folder; name a file for the answers"),
        ("a.xlsx", "answers are written as CSV"),
        ("a.JSON", "answers are written as CSV"),
        ("a.csv.gz", "answers are written as CSV"),
    ],
)
@pytest.mark.parametrize("more", [[], ["--force"]])
def test_answers_take_the_place_of_no_table_and_of_no_folder(reviews, tmp_path, name, said, more):
    before, _ = reviews.read_bytes(), (tmp_path / "here").mkdir()
    out = f"{tmp_path}/{name.format(tmp_path.name)}"
    result = ask("predict", "none", reviews, "--text", "review", "--out", out, *more, code=2)
    assert said in " ".join(result.output.split()) and reviews.read_bytes() == before
    assert sorted(path.name for path in tmp_path.iterdir()) == ["here", "reviews.csv"]
    assert not [*(tmp_path / "here").iterdir()]


def test_an_option_changes_what_it_names_and_nothing_else(reviews, tiny, tmp_path):
    finetune(reviews, tiny)
    before = json.loads((tmp_path / "model" / "report.json").read_text())
    (tmp_path / "model").rename(tmp_path / "before")
    finetune(reviews, tiny, "--class-weights", "balanced", "--seed", 42)
    after = json.loads((tmp_path / "model" / "report.json").read_text())
    assert len(before["history"]["steps"]) == len(after["history"]["steps"]) == 10
    assert after["setting"] == before["setting"] | {"class_weights": "balanced"}


def test_the_reports_advice_changes_what_it_names_and_nothing_else():
    for lang in LANGS:
        advice = re.search(r"finetune\(\.\.\., (\w+)=\"(\w+)\"\)", catalogue(lang, "finetune")["weights_help"])
        options, changes = options_of(dict([advice.groups()]), TrainConfig)
        plan, usual = plain(default_config(None), **changes), default_config(None)
        assert options == Options() and plan == replace(usual, class_weights="balanced") != usual


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        (["finetune"], "Missing argument"),
        (["finetune", "none.csv", "--text", "a", "--label", "b", "--out", "{tmp}/m"], "there is no file 'none.csv'"),
        (["finetune", "{reviews}", "--text", "a", "--label", "b", "--out", "{tmp}/m"], "has no column 'a'"),
        (["finetune", "{reviews}", "--text", "review", "--label", "stars", "--out", "{tmp}"], "is not empty"),
        (["finetune", "{reviews}", "--lang", "tlh"], "unknown language 'tlh'"),
        (
            ["finetune", "{reviews}", "--text", "review", "--label", "stars", "--out", "{tmp}/m", "--epochs", "0"],
            "epochs",
        ),
        (["predict", "{tmp}", "{reviews}", "--text", "review", "--out", "{tmp}/a.csv"], "no model could be loaded"),
        (["predict", STARS, "{reviews}", "--text", "nothing", "--out", "{tmp}/a.csv"], "has no column 'nothing'"),
        (["predict", STARS, "{reviews}", "--text", "review", "--out", "{reviews}"], "is the table itself"),
        (["learn", "--chapter", "99_none"], "unknown chapter '99_none'; known: 00_start"),
        (["nothing"], "No such command"),
    ],
)
def test_a_wrong_call_ends_with_2_and_says_why(reviews, tmp_path, words, expected):
    before = reviews.read_bytes()
    result = ask(*(str(word).format(tmp=tmp_path, reviews=reviews) for word in words), code=2)
    assert expected in " ".join(re.sub(r"[│╭╮╰╯─]", " ", result.output).split())
    assert "Traceback" not in result.output and reviews.read_bytes() == before
    assert [path.name for path in tmp_path.iterdir()] == ["reviews.csv"]


@pytest.mark.parametrize(
    ("lang", "help_says", "expected"), [("zh", "运行课程", "没有"), ("tlh", "Run", "unknown language")]
)
def test_the_language_of_all_commands_can_be_set_once(lang, help_says, expected):
    def call(*words):
        command = [sys.executable, "-m", "ftcourse.cli", "learn", *words]
        environment = {**ENVIRONMENT, "FTCOURSE_LANG": lang, "PYTHONUTF8": "1"}
        return subprocess.run(command, env=environment, capture_output=True, encoding="utf-8", check=False)

    assert help_says in call("--help").stdout
    wrong = call("--chapter", "99_none")
    assert wrong.returncode == 2 and expected in wrong.stderr


def test_a_run_that_fails_ends_with_1(reviews, tiny, tmp_path, monkeypatch):
    def full(*_, **__):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("ftcourse.engine.checkpoint.save_file", full)
    said = finetune(reviews, tiny, code=1).output
    assert "No space left on device" in said and "Traceback" not in said
    (tmp_path / "file").write_text("")
    path = tmp_path / "file" / "answers.csv"
    said = ask("predict", STARS, reviews, "--text", "review", "--out", path, code=1).output
    assert "cannot write" in said


def test_stopped_with_ctrl_c_and_gone_on_with_resume(reviews, tiny, tmp_path):
    words = ["finetune", reviews, "--text", "review", "--label", "stars", "--out", tmp_path / "model", "--model", tiny]
    command = [sys.executable, "-m", "ftcourse.cli", *map(str, words), "--epochs", "2000", "--batch-size", "4"]
    process = subprocess.Popen(
        command, cwd=ROOT, env=ENVIRONMENT, stderr=subprocess.PIPE, text=True, preexec_fn=heed_interrupts
    )
    while process.poll() is None and not list((tmp_path / "model").glob("training/*.safetensors")):
        time.sleep(0.02)
    process.send_signal(signal.SIGINT)
    errors = process.communicate(timeout=120)[1]
    assert process.returncode == 1 and "--resume" in errors and "Traceback" not in errors
    assert (
        "was begun with epochs=2000, not 1"
        in finetune(reviews, tiny, "--epochs", 1, "--batch-size", 4, "--resume", code=2).output
    )


@pytest.mark.parametrize("start", ["=", "+", "-", "@", "\t", "\r"])
def test_what_a_spreadsheet_would_calculate_gets_an_apostrophe(start):
    assert neutral(f"{start}1+1") == f"'{start}1+1" and neutral(f"a{start}") == f"a{start}"


def test_formulas_in_answers(tmp_path):
    (tmp_path / "new.csv").write_text('review\n"=HYPERLINK(""x"")"\ngood\n""\n', encoding="utf-8")
    words = ("predict", STARS, tmp_path / "new.csv", "--text", "review", "--out", tmp_path / "answers.csv")
    assert "1 cells began like a formula" in ask(*words).output
    with open(tmp_path / "answers.csv", encoding="utf-8-sig", newline="") as file:
        rows = list(csv.reader(file))
    assert [row[0] for row in rows] == ["review", '\'=HYPERLINK("x")', "good", ""] and rows[3][1:] == ["", ""]
    ask(*words, code=2)
    ask(*words, "--raw", "--force")
    assert '\n"=HYPERLINK' in (tmp_path / "answers.csv").read_text(encoding="utf-8-sig")


def test_a_write_that_fails_leaves_the_old_answers(reviews, tmp_path, monkeypatch):
    (tmp_path / "answers.csv").write_text("old")

    def full(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(answers, "write_answers", full)
    words = ("predict", STARS, reviews, "--text", "review", "--out", tmp_path / "answers.csv", "--force")
    assert "No space left on device" in ask(*words, code=1).output
    assert (tmp_path / "answers.csv").read_text() == "old"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["answers.csv", "reviews.csv"]


def peak_megabytes(tmp_path, tiny, size: int) -> float:
    """The most memory that `ftcourse predict` takes for a table with `size` rows."""
    with open(tmp_path / "big.csv", "w", encoding="utf-8") as file:
        file.write("review\n")
        file.writelines(
            f"{n} a review of some length, written for this test and for nothing else\n" for n in range(size)
        )
    words = ["predict", tiny, tmp_path / "big.csv", "--text", "review", "--out", tmp_path / "out.csv", "--force"]
    code = "import atexit; from benchmarks.points import own_peak; from ftcourse.cli import main; "
    code += "atexit.register(lambda: print(own_peak())); main()"
    command = [sys.executable, "-c", code, *map(str, words)]
    run = subprocess.run(command, cwd=ROOT, env=ENVIRONMENT, capture_output=True, text=True)
    assert run.returncode == 0, run.stderr
    assert (tmp_path / "out.csv").read_bytes().count(b"\n") == size + 1
    return float(run.stdout.split()[-1])


def test_ten_times_the_rows_take_as_much_memory(tmp_path, tiny):
    few, many = (peak_megabytes(tmp_path, tiny, size) for size in (3000, 30_000))
    assert many < 1.1 * few


def test_doctor_tells_about_the_machine():
    lines = dict(line.split(": ", 1) for line in ask("doctor").output.splitlines())
    assert [*lines] == ["versions", "cores", "memory", "GPU", "kit", "fonts for pictures", "Hub", "disk"]
    assert lines["kit"] == "whole" and "torch" in lines["versions"] and int(lines["cores"]) >= 1


def test_doctor_finds_a_damaged_kit(monkeypatch):
    def damaged(_):
        raise OSError("A file of the kit was altered: x")

    monkeypatch.setattr("ftcourse.engine.assets.check_folder", damaged)
    assert "kit: A file of the kit was altered: x" in ask("doctor", code=1).output


def test_lab_copies_and_keeps_what_is_there(tmp_path):
    said = ask("lab", "--folder", tmp_path, "--no-open").output
    copies = sorted((tmp_path / "en").glob("*.ipynb"))
    assert len(copies) >= 8 and f"{len(copies)} notebooks were copied" in said
    copies[0].write_text("mine")
    copies[1].unlink()
    assert "1 notebooks were copied" in ask("lab", "--folder", tmp_path, "--no-open").output
    assert copies[0].read_text() == "mine"


EVERYWHERE = {"--help", "--lang", "--out", "--model"}


@pytest.mark.parametrize("lang", LANGS)
def test_the_reference_on_tables_names_each_option_and_no_other(lang):
    page = (notebook(lang, "00_start").parent / "tables.md").read_text(encoding="utf-8")
    there = set(re.findall(r"(?<![\w-])--[a-z]+(?:-[a-z]+)*", page))
    launcher, options = {"--config-file", *get_args_parser()._option_string_actions}, set()  # of accelerate, torchrun
    for command in ("finetune", "evaluate", "predict", "serve", "launch"):
        parameters = get_command(app).commands[command].params
        options |= {name for one in parameters for name in (*one.opts, *one.secondary_opts) if name.startswith("--")}
    assert len(options) > 30
    assert there - {"--help"} - options <= launcher and "--nproc-per-node" in there
    assert options - there <= EVERYWHERE


@pytest.mark.parametrize("lang", ["en", "ar"])
def test_lab_copies_the_glossary_that_the_chapters_link_to(tmp_path, lang):
    ask("lab", "--folder", tmp_path, "--no-open", "--lang", lang)
    glossary = tmp_path / lang / "glossary.md"
    for copy in glossary.parent.glob("*.ipynb"):
        for place in re.findall(r"\(glossary\.md#([^)]+)\)", copy.read_text(encoding="utf-8")):
            assert f'id="{place}"' in glossary.read_text(encoding="utf-8"), (copy.name, place)
    assert "glossary.md#" in (tmp_path / lang / "00_start.ipynb").read_text(encoding="utf-8")
    glossary.write_text("mine")
    ask("lab", "--folder", tmp_path, "--no-open", "--lang", lang)
    assert glossary.read_text() == "mine"


def test_learn_runs_a_chapter(tmp_path):
    assert "00_start: " in ask("learn", "--chapter", "00_start", "--folder", tmp_path).output
    assert (tmp_path / "en" / "00_start.ipynb").stat().st_size > 1000


COMMANDS = get_command(app).commands


@pytest.mark.parametrize("command", COMMANDS)
def test_help_has_an_example(command):
    assert f"Example: ftcourse {command}" in " ".join(ask(command, "--help").output.split())


def test_no_option_is_there_twice_and_all_are_told_in_a_sentence():
    told = {}
    for name, command in COMMANDS.items():
        flags = [flag for one in command.params for flag in (*one.opts, *one.secondary_opts)]
        assert len({*flags}) == len(flags) and "--lang" in flags
        helps = {one.name: one.help for one in command.params}
        assert len({*helps.values()}) == len(helps) and all(text.endswith((".", "...")) for text in helps.values()), (
            name
        )
        for key, text in helps.items():
            told.setdefault(key, {})[text] = name
    assert {key for key, texts in told.items() if len(texts) > 1} <= {
        "out",
        "folder",
        "chapter",  # to run, or to hand out
        "model",
        "table",
        "name",
        "validation",
        "keep",  # the best epoch, or columns
        "windows",  # or, of a saved model, as it was trained
    }


@pytest.mark.parametrize("lang", LANGS)
def test_helps_are_of_one_form_in_each_language(lang):
    example = {"en": "\n\nExample: ", "ar": "\n\nمثال:\n\n", "zh": "\n\n示例：", "zh-Hant": "\n\n範例："}[lang]
    for name in COMMANDS:
        text = catalogue(lang, "cli")["hub_command" if name == "hub" else name]
        assert f"{example}ftcourse {name}" in text and text.split("\n")[0].endswith(
            "." if lang in ("en", "ar") else "。"
        )


class Stopping:
    """A predictor that is stopped at its second batch."""

    precision = "no"

    def __init__(self, predictor, error):
        self.predictor, self.model, self.error, self.calls = predictor, predictor.model, error, 0

    def predict(self, *texts):
        self.calls += 1
        if self.calls == 2:
            raise self.error
        return self.predictor.predict(*texts)


@pytest.mark.parametrize("error", [KeyboardInterrupt(), OSError(28, "No space left on device")])
def test_answers_that_were_written_are_kept_and_the_same_command_goes_on(tiny, tmp_path, monkeypatch, error):
    rows = pd.DataFrame({"review": [f"=food {n}" for n in range(2500)]})
    rows.to_csv(tmp_path / "new.csv", index=False)
    words = ["predict", tiny, tmp_path / "new.csv", "--text", "review", "--out"]
    ask(*words, tmp_path / "whole.csv")
    with monkeypatch.context() as patch:
        patch.setattr(
            "ftcourse.inference.Predictor",
            lambda model, load=Predictor, **how: Stopping(load(model, **how), error),
        )
        said = ask(*words, tmp_path / "answers.csv", code=1).output
    assert "the same command goes on from there" in " ".join(said.split())
    part = next(tmp_path.glob(".answers.csv.*.part"))
    with open(part, "a", encoding="utf-8") as file:
        file.write("half a li")
    asked = []
    monkeypatch.setattr(
        "ftcourse.engine.answers.answer_batch",
        lambda *batch, answer=answers.answer_batch: asked.append(1) or answer(*batch),
    )
    said = ask(*words, tmp_path / "answers.csv").output
    assert len(asked) == 2 and "2500" in said
    assert (tmp_path / "answers.csv").read_bytes() == (tmp_path / "whole.csv").read_bytes()
    assert sorted(path.name for path in tmp_path.iterdir()) == ["answers.csv", "new.csv", "whole.csv"]


def test_a_number_is_no_formula():
    assert [neutral(cell) for cell in ("-1", "+2.5", "-1+1", "=1")] == ["-1", "+2.5", "'-1+1", "'=1"]


def test_an_output_that_lacks_the_letters_is_no_failure():
    command = [sys.executable, "-m", "ftcourse.cli", "doctor", "--lang", "ar"]
    environment = ENVIRONMENT | {"PYTHONIOENCODING": "cp1252"}
    done = subprocess.run(command, env=environment, capture_output=True, check=False)
    assert done.returncode == 0 and b"\\u0627" in done.stdout


def test_answers_that_are_all_there_but_not_moved_are_moved_by_the_same_command(reviews, tiny, tmp_path, monkeypatch):
    words = ["predict", tiny, reviews, "--text", "review", "--out", tmp_path / "answers.csv"]
    with monkeypatch.context() as patch:
        patch.setattr("ftcourse.engine.answers.os.replace", replace_but(tmp_path / "answers.csv"))
        ask(*words, code=1)
    ask(*words)
    assert len(pd.read_csv(tmp_path / "answers.csv")) == 40
    assert sorted(path.name for path in tmp_path.iterdir()) == ["answers.csv", "reviews.csv"]


def replace_but(target, move=os.replace):
    """`os.replace` that fails for one target, as where another program has the file open."""

    def replace(source, to):
        if to == target:
            raise PermissionError(13, "Permission denied")
        move(source, to)

    return replace


def test_counts_without_their_answers_are_not_believed(reviews, tiny, tmp_path, monkeypatch):
    words = ["predict", tiny, reviews, "--text", "review", "--out", tmp_path / "answers.csv"]
    with monkeypatch.context() as patch:
        patch.setattr("ftcourse.engine.answers.os.replace", replace_but(tmp_path / "answers.csv"))
        ask(*words, code=1)
    next(tmp_path.glob("*.part")).unlink()
    ask(*words)
    assert len(pd.read_csv(tmp_path / "answers.csv")) == 40


def test_each_language_and_table_has_a_part_of_its_own(reviews, tiny, tmp_path):
    def part(lang, **more):
        asked = answers.Asked(TableFile(reviews), ["review"], lang=lang, **more)
        return answers.part_of(tmp_path / "a.csv", Path(tiny), asked)

    first = part("zh")
    assert len({first, part("zh"), part("zh-Hant"), part("zh", keep=["stars"])}) == 3
    reviews.write_text("review\nanother\n")
    assert first != part("zh")


@pytest.mark.parametrize("code", [0, 3])
def test_lab_ends_as_jupyterlab_does(tmp_path, monkeypatch, code):
    monkeypatch.setattr("ftcourse.cli.subprocess.run", lambda *_, **__: subprocess.CompletedProcess([], code))
    assert "Error" not in ask("lab", "--folder", tmp_path, code=int(code > 0)).output


def test_export_writes_a_model_whole(tmp_path):
    said = ask("export", "writer", tmp_path / "mine").output
    assert str(tmp_path / "mine") in said and (tmp_path / "mine" / "model.safetensors").is_file()
    assert "nothing is overwritten" in ask("export", "writer", tmp_path / "mine", code=2).output
    assert "unknown model 'bert'" in ask("export", "bert", tmp_path / "other", code=2).output
