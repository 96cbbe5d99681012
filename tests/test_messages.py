"""What goes wrong is said in the reader's language: no English sentence in a `raise`, no message too many."""

import ast
import os
import subprocess
import sys

import evaluate
import pandas as pd
import pytest
from datasets import Dataset
from transformers import AutoTokenizer, DataCollatorWithPadding

from ftcourse.data import subset, tokenize
from ftcourse.engine.checks import LANGS
from ftcourse.engine.lesson import begin
from ftcourse.engine.messages import catalogue, in_words, language, speaking, use_language
from ftcourse.engine.tables import read_table
from ftcourse.finetune import finetune
from ftcourse.inference import Predictor
from ftcourse.kit import HUB, Kit
from ftcourse.loop import TrainConfig, train
from ftcourse.loop import evaluate as score
from ftcourse.model import classifier, head_parameters
from ftcourse.pipeline import has_task
from ftcourse.tokens import fertility
from ftcourse.trainer import fit_trainer, metrics_for
from tests.tiny import tiny_checkpoint
from tools.settings import ROOT, chapters

MODULES = {str(path.relative_to(ROOT)): path.read_text(encoding="utf-8") for path in ROOT.glob("ftcourse/**/*.py")}
TOLD = {"warn", "print", "echo", "secho", "exit", "complain"}  # what shows a text to the reader
SPEAKERS = {"trouble", "in_words", "kit_trouble", "label_trouble", "say", "message", "Refusal"}
SCRIPTS = {
    "en": lambda text: text.isascii(),
    "ar": lambda text: any("\u0621" <= letter <= "\u064a" for letter in text),
    "zh": lambda text: any("\u4e00" <= letter <= "\u9fff" for letter in text),
    "zh-Hant": lambda text: any("\u4e00" <= letter <= "\u9fff" for letter in text),
}


def strings(node: ast.AST) -> list[str]:
    """The texts in a piece of code, but for those that a call of a speaker takes."""
    if isinstance(node, ast.Call) and getattr(node.func, "id", "") in SPEAKERS:
        return []
    if isinstance(node, ast.Constant) and isinstance(node.value, str):
        return [node.value]
    return [text for child in ast.iter_child_nodes(node) for text in strings(child)]


def name_of(call: ast.Call) -> str:
    """What is called, without what it belongs to."""
    return getattr(call.func, "id", None) or getattr(call.func, "attr", "")


def sentences(source: str) -> list[str]:
    """Texts of more than one word that are raised, warned of, or put on the screen.

    A `KeyError` is for those who write the course.
    """
    nodes = list(ast.walk(ast.parse(source)))
    raised = [node.exc for node in nodes if isinstance(node, ast.Raise) and isinstance(node.exc, ast.Call)]
    said = [node for node in nodes if isinstance(node, ast.Call) and name_of(node) in TOLD]
    calls = [call for call in raised if name_of(call) != "KeyError"] + said
    found = [" ".join(strings(call)) for call in calls]
    return [text for text in found if len([word for word in text.split() if any(map(str.isalpha, word))]) > 1]


def keys(source: str) -> set[str]:
    """The messages of the catalogue of errors that a module asks for by name."""
    calls = [node for node in ast.walk(ast.parse(source)) if isinstance(node, ast.Call) and node.args]
    asked = [call for call in calls if getattr(call.func, "id", "") in {"trouble", "in_words", "kit_trouble"}]
    texts = [part for call in asked if not isinstance(call.args[0], ast.JoinedStr) for part in ast.walk(call.args[0])]
    return {part.value for part in texts if isinstance(part, ast.Constant) and isinstance(part.value, str)}


def kinds(source: str) -> set[str]:
    """The kinds of things whose names a module looks up with `known`."""
    calls = [node for node in ast.walk(ast.parse(source)) if isinstance(node, ast.Call)]
    first = [call.args[0] for call in calls if getattr(call.func, "id", "") == "known"]
    return {kind.value for kind in first if isinstance(kind, ast.Constant)}


@pytest.mark.parametrize("module", MODULES)
def test_no_english_sentence_is_raised(module):
    assert len(MODULES) > 20 + len(chapters())
    assert sentences(MODULES[module]) == []


@pytest.mark.parametrize(
    ("source", "found"),
    [
        ('raise ValueError("no rows")', ["no rows"]),
        ('raise OSError(f"{name} has no rows; {advice}")', [" has no rows;  "]),
        ('raise trouble("damaged", name=f"the file {name}") from error', []),
        ('raise OSError(say("cannot_write") + " and more words") from error', [" and more words"]),
        ('warnings.warn("going on", stacklevel=2)', ["going on"]),
        ('print(f"{count} rows are left")', [" rows are left"]),
        ('typer.echo("all done", err=True)', ["all done"]),
        ('sys.exit("no such file")', ["no such file"]),
        ('typer.echo(say("saved", folder="my model"))', []),
        ('print(f"http://127.0.0.1:{port}", flush=True)', []),
        ('raise KeyError("no such key")', []),
        ("raise TypeError(repr(value))", []),
        ("raise", []),
    ],
)
def test_a_sentence_that_is_raised_is_found(source, found):
    assert [text.split() for text in sentences(source)] == [text.split() for text in found]


def test_every_message_is_asked_for_and_every_one_asked_for_is_there():
    texts = catalogue("en", "errors")
    asked = {key for source in MODULES.values() for key in keys(source)}
    looked_up = {kind for source in MODULES.values() for kind in kinds(source)} | {*HUB}
    assert len(asked) > 80 and {"language", "precision", "dataset"} <= looked_up
    assert asked | {f"unknown_{kind}" for kind in looked_up} <= {*texts}
    quoted = {part for source in MODULES.values() for part in constants(source)}
    assert {*texts} - {f"unknown_{kind}" for kind in looked_up} <= quoted


def constants(source: str) -> set[str]:
    nodes = ast.walk(ast.parse(source))
    return {node.value for node in nodes if isinstance(node, ast.Constant) and isinstance(node.value, str)}


def test_a_key_is_found_where_it_is_asked_for():
    assert keys('raise trouble("begun" if begun else "taken", OSError, folder="x")') == {"begun", "taken"}
    assert keys('raise trouble(f"unknown_{kind}")') == set() and kinds('known("language", lang, LANGS)') == {"language"}


@pytest.mark.parametrize("lang", LANGS)
def test_every_message_is_in_its_script(lang):
    wrong = {key: text for key, text in catalogue(lang, "errors").items() if not SCRIPTS[lang](text)}
    assert not wrong
    if lang != "en":
        assert not {key for key, text in catalogue("en", "errors").items() if text == catalogue(lang, "errors")[key]}


def test_traditional_chinese_is_not_simplified():
    simple, traditional = catalogue("zh", "errors"), catalogue("zh-Hant", "errors")
    assert sum(simple[key] != text for key, text in traditional.items()) > 0.9 * len(traditional)


@pytest.fixture(scope="module")
def parts(tmp_path_factory) -> dict:
    """What a call needs besides the mistake in it."""
    folder = tiny_checkpoint(tmp_path_factory.mktemp("tiny"))
    tokenizer = AutoTokenizer.from_pretrained(folder)
    rows = Dataset.from_dict({"text": ["Good.", "Bad."], "label": [1, 0]})
    return {
        "folder": folder,
        "tokenizer": tokenizer,
        "rows": rows,
        "data": tokenize(rows, tokenizer),
        "model": classifier(folder, ["bad", "good"]),
        "collate": DataCollatorWithPadding(tokenizer),
    }


MISTAKES = {
    "Kit": lambda p: Kit("fr"),
    "kit.model": lambda p: Kit().model("stairs"),
    "has_task": lambda p: has_task(3),
    "fertility": lambda p: fertility(p["tokenizer"], ["!", "?"]),
    "tokenize": lambda p: tokenize(p["rows"], "encoder"),
    "tokenize labels": lambda p: tokenize(Dataset.from_dict({"text": ["Good."], "label": [-3]}), p["tokenizer"]),
    "tokenize texts": lambda p: tokenize(Dataset.from_dict({"text": ["Good.", None]}), p["tokenizer"]),
    "subset": lambda p: subset(p["rows"], 3),
    "read_table": lambda p: read_table("none.csv"),
    "classifier": lambda p: classifier(p["folder"], ["good"]),
    "head_parameters": lambda p: head_parameters(p["model"].base_model),
    "metrics_for": lambda p: metrics_for("accuracy"),
    "metrics_for options": lambda p: metrics_for(evaluate.load(*Kit().metric("accuracy")), average="macro"),
    "fit_trainer": lambda p: fit_trainer("encoder", p["data"], p["data"], tokenizer=p["tokenizer"], output_dir="none"),
    "TrainConfig": lambda p: TrainConfig(epochs=0),
    "train": lambda p: train(p["model"], p["rows"], collate=p["collate"]),
    "train resume": lambda p: train(p["model"], p["data"], collate=p["collate"], resume=True),
    "evaluate": lambda p: score(p["model"], p["data"], collate=p["collate"], metrics="accuracy"),
    "Predictor": lambda p: Predictor("none"),
    "predict": lambda p: Predictor(p["model"], p["tokenizer"]).predict("Good."),
    "predict pairs": lambda p: Predictor(p["model"], p["tokenizer"]).predict(["Good."], []),
}


@pytest.mark.parametrize("call", MISTAKES)
def test_a_wrong_call_is_answered_in_each_language(parts, call):
    said = {}
    for lang in LANGS:
        use_language(lang)
        with pytest.raises((ValueError, FileNotFoundError)) as error:
            MISTAKES[call](parts)
        said[lang] = str(error.value)
    assert {lang: text for lang, text in said.items() if not SCRIPTS[lang](text)} == {}
    assert len({*said.values()}) >= 3 and said["en"] not in (said["ar"], said["zh"], said["zh-Hant"])


@pytest.mark.parametrize("lang", LANGS)
def test_finetune_speaks_the_language_that_it_is_asked_for_and_leaves_the_readers_as_it_was(tmp_path, lang):
    use_language("zh")
    table = pd.DataFrame({"text": ["Good.", "Bad."] * 20, "label": [1, 0] * 20})
    wrong = [{"validation": 20}, {"label": "stars"}, {"model": "none"}, {"config": 3}, {"output_dir": tmp_path}]
    (tmp_path / "something").touch()
    for number, options in enumerate(wrong):
        call = {"text": "text", "label": "label", "lang": lang, "output_dir": tmp_path / f"out{number}"} | options
        with pytest.raises((ValueError, FileExistsError)) as error:
            finetune(table, **call)
        assert SCRIPTS[lang](str(error.value))
        assert language() == "zh"
    with pytest.raises(ValueError, match="没有 'tlh' 这种语言"):
        finetune(table, text="text", label="label", lang="tlh", output_dir=tmp_path / "out")


@pytest.mark.parametrize("turn", ["first", "second"])
def test_the_language_of_one_test_does_not_reach_the_next(turn):
    assert language() == "en"
    use_language("ar")


def test_a_lesson_chooses_the_language_and_a_kit_only_where_nobody_did():
    Kit("ar")
    assert language() == "ar"
    Kit("zh")
    assert language() == "ar"
    begin("zh-Hant", "00_start")
    Kit("en")
    assert language() == "zh-Hant"
    with speaking("en"), pytest.raises(ValueError, match="unknown language"):
        Kit("fr")
    assert language() == "zh-Hant"


def test_processes_that_are_started_speak_the_language_too():
    use_language("ar")
    code = "from ftcourse.engine.messages import in_words; print(in_words('resume'))"
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "PYTHONUTF8": "1"}
    child = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, encoding="utf-8")
    assert child.stdout.strip() == in_words("resume") and SCRIPTS["ar"](child.stdout)
