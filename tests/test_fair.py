"""Fair tests: no row of the validation stands in training, however it is written; the best epoch; a test."""

import json
import os
import re
import shutil

import numpy as np
import pandas as pd
import pytest
import torch
from datasets import ClassLabel, Dataset, Features, Value
from hypothesis import given, settings
from hypothesis import strategies as st
from safetensors.torch import load_file
from transformers import AutoModelForSequenceClassification, default_data_collator
from typer.testing import CliRunner

from ftcourse.cli import app
from ftcourse.engine.best import best_round, is_over
from ftcourse.engine.checkpoint import Checkpoints
from ftcourse.engine.cleaning import NUMBER, SEVERAL, prepare, split_labels
from ftcourse.engine.fair import near_keys, near_text, split_groups
from ftcourse.engine.messages import message
from ftcourse.engine.models import load_tokenizer
from ftcourse.engine.report import load_report
from ftcourse.engine.tables import TableFile
from ftcourse.finetune import evaluate_table, finetune
from ftcourse.inference import Predictor
from ftcourse.loop import TrainConfig, evaluate, train
from ftcourse.service.app import pairs_of
from tests.test_processes import finished, launch
from tests.tiny import FAST, same_weights, tiny_checkpoint
from tests.victim import run, tiny_data, tiny_model

COLUMNS = ["review", "stars"]


@pytest.fixture(scope="module")
def tiny(tmp_path_factory) -> str:
    return tiny_checkpoint(tmp_path_factory.mktemp("tiny"))


def visits(count: int, start: int = 0) -> pd.DataFrame:
    """Two reviews a visit, one good, one bad."""
    rows = [(f"{mark} food, visit {n}", mark) for n in range(start, start + count) for mark in ("good", "bad")]
    return pd.DataFrame(rows, columns=COLUMNS)


def ready(frame, validation=0.25, columns=COLUMNS, cache="", **options):
    return prepare(frame, columns, "en", validation, 0, str(cache), **options)


def ask(*words: object, code: int = 0) -> str:
    result = CliRunner().invoke(app, [str(word) for word in words])
    assert result.exit_code == code, (result.output, result.exception)
    return result.output


# Near-doubles

DISGUISES = [
    str.upper,
    str.title,
    lambda text: f"  {text.replace(' ', '   ')}\n",
    lambda text: f"\u00ab{text}\u00bb\u2026",
    lambda text: text.replace(" ", "\u200f \u200b"),
    lambda text: "".join(chr(ord(letter) + 0xFEE0) if "!" <= letter <= "~" else letter for letter in text),
    lambda text: re.sub("([\u0628-\u064a])", "\\1\u064e", text),
    lambda text: text.replace("\u0640", "").replace("\u0645", "\u0645\u0640\u0640"),
    lambda text: text.replace(",", "\uff0c").replace(".", "\u3002"),
]


@settings(deadline=None, max_examples=60)
@given(
    st.sampled_from(
        [
            "Good food, visit 7.",
            "\u0637\u0639\u0627\u0645 \u0645\u0645\u062a\u0627\u0632",
            "\u996d\u83dc\u5f88\u597d, 7",
            "Caf\xe9 7",
        ]
    ),
    st.lists(st.sampled_from(DISGUISES), max_size=4),
)
def test_a_text_in_disguise_is_the_same(text, disguises):
    worn = text
    for disguise in disguises:
        worn = disguise(worn)
    assert near_text(worn) == near_text(text)


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("good food", "good foot"),
        ("visit 1", "visit 11"),
        ("\U0001f600", "\U0001f621"),
        ("?", "!"),
        ("\u997f", "\u997f\u4e86"),
    ],
)
def test_other_texts_are_others(one, other):
    assert near_text(one) != near_text(other)


@settings(deadline=None)
@given(st.text(max_size=20))
def test_every_text_has_a_key(text):
    key = near_keys(Dataset.from_dict({"text": [text.encode("utf-8", "ignore").decode()]}))[0]
    assert (key == 0) == (not text.encode("utf-8", "ignore").decode().split())


def test_a_planted_leak_is_found():
    """Each review once more in capitals: every one of them would tell an answer."""
    frame = visits(100)
    doubled = pd.concat([frame, frame.assign(review=frame["review"].str.upper() + "!")])
    found = ready(doubled, 0.2)
    shown = {near_text(text) for text in found.valid["text"]}
    assert not shown & {near_text(text) for text in found.train["text"]}
    assert len(found.valid) == 80 and len(found.train) == 320
    assert found.apart == [{"key": "near", "rows": 400}]
    assert abs(np.bincount(found.valid["label"][:]) - 40).max() <= 2


def test_too_few_texts_are_told():
    texts = [f"{mark}{'!' * n}" for mark in ("good", "bad") for n in range(5)]
    with pytest.raises(ValueError, match="the 10 usable rows of 'table' hold only 2 different texts"):
        ready(pd.DataFrame({"review": texts, "stars": ["good"] * 5 + ["bad"] * 5}))


def test_rows_that_stand_alone_are_split_as_ever():
    found = ready(visits(20))
    assert found.apart == [] and np.bincount(found.valid["label"][:]).tolist() == [5, 5]


def test_they_are_split_as_a_data_set_splits_its_rows():
    labels = np.random.default_rng(0).choice(3, 300, p=[0.7, 0.2, 0.1])
    features = Features({"label": ClassLabel(num_classes=3), "row": Value("int64")})
    rows = Dataset.from_dict({"label": labels, "row": np.arange(300)}, features=features)
    parts = rows.train_test_split(test_size=45, stratify_by_column="label", seed=7)
    found = split_labels(labels, 3, 0.15, 7)
    assert [part.tolist() for part in found] == [parts[name]["row"][:] for name in ("train", "test")]


# Groups


@settings(deadline=None, max_examples=60)
@given(
    st.lists(st.tuples(st.integers(0, 12), st.integers(0, 3)), min_size=8, max_size=80),
    st.floats(0.1, 0.5),
    st.booleans(),
)
def test_a_group_stays_on_one_side(rows, validation, several):
    groups, labels = (np.array(column) for column in zip(*rows, strict=True))
    given_labels = np.eye(4)[labels] if several else labels
    learned, shown = split_groups(groups, given_labels, validation, 0)
    assert sorted([*learned, *shown]) == [*range(len(rows))]
    assert not {*groups[learned]} & {*groups[shown]}
    assert len(learned)


@pytest.mark.parametrize("kind", ["one", "several", "numbers"])
def test_groups_keep_the_shares_of_labels(kind):
    random = np.random.default_rng(0)
    groups, labels = random.integers(0, 150, 1500), random.choice(3, 1500, p=[0.7, 0.25, 0.05])
    learned, shown = split_groups(
        groups, {"one": labels, "several": np.eye(3)[labels], "numbers": labels / 2}[kind], 0.2, 0
    )
    assert not {*groups[learned]} & {*groups[shown]} and abs(len(shown) - 300) < 15
    assert np.allclose(np.bincount(labels[shown]) / np.bincount(labels), 0.2, atol=0.04)


def letters(customers: int = 12, each: int = 6) -> pd.DataFrame:
    rows = [
        (f"{n} {m} {['good', 'bad'][m % 2]}", ["good", "bad"][m % 2], f"c{n}")
        for n in range(customers)
        for m in range(each)
    ]
    return pd.DataFrame(rows, columns=[*COLUMNS, "customer"])


@pytest.mark.parametrize("problem", [None, SEVERAL, NUMBER])
def test_customers_stay_on_one_side(problem):
    frame = letters().assign(
        stars=lambda rows: rows["stars"].map({"good": 5, "bad": 1}) if problem == NUMBER else rows["stars"]
    )
    found = ready(frame, group="customer", problem=problem)
    sides = [{text.split()[0] for text in part["text"]} for part in (found.train, found.valid)]
    assert not sides[0] & sides[1] and len(sides[1]) == 3 and len(found.valid) == 18
    assert found.apart == [{"key": "groups", "column": "customer", "groups": 12, "valid": 3}]


def test_a_near_double_of_another_customer_leaves_training():
    frame = pd.concat(
        [
            letters(),
            pd.DataFrame(
                {
                    "review": [f"NICE{'!' * n}" for n in range(12)],
                    "stars": "good",
                    "customer": [f"C{n} " for n in range(12)],
                }
            ),
        ]
    )
    found = ready(frame, group="customer")
    assert found.dropped["in_validation"]["count"] == 9 and sum("NICE" in text for text in found.valid["text"]) == 3
    assert not any("NICE" in text for text in found.train["text"])


def test_numbers_texts_and_gaps_in_a_column_of_groups(tmp_path):
    frame = letters()
    frame["customer"] = frame["customer"].str[1:].astype(float)
    frame.loc[:1, "customer"] = None
    assert ready(frame, group="customer").dropped["no_group"]["count"] == 2
    frame.astype({"customer": object}).to_csv(tmp_path / "a.csv", index=False)
    assert ready(tmp_path / "a.csv", cache=tmp_path, group="customer").dropped["no_group"]["count"] == 2
    found = ready(Dataset.from_pandas(frame.dropna()), group="customer")
    assert found.apart[0]["groups"] == 12 and found.columns == ["text"]


def test_a_column_of_texts_may_be_the_group():
    frame = letters().assign(title=lambda rows: "Letter of " + rows["customer"])
    found = ready(frame, columns=["title", "review", "stars"], group="title")
    assert found.columns == ["text", "text_pair"] and not {*found.train["text"]} & {*found.valid["text"]}


@pytest.mark.parametrize(
    ("change", "options", "said"),
    [
        ({}, {"group": "client"}, "'table' has no column 'client'; its columns: 'review', 'stars', 'customer'"),
        ({}, {"group": "stars"}, "'stars' is named twice"),
        ({}, {"group": 3}, "group is 3; expected the name of a column, such as 'customer'"),
        (
            {"customer": "c"},
            {"group": "customer"},
            "all usable rows of 'table' are of one group, by the column 'customer'",
        ),
        (
            {"customer": None},
            {"group": "customer"},
            r"no row of 'table' can be used \(nothing says which group it belongs to: 72\)",
        ),
        (
            {"customer": ["a"] * 36 + ["b"] * 36},
            {"group": "customer"},
            "in 2 groups, by the column 'customer', the largest with 36 rows.* a share of 0.1 .* nearest is 0.5",
        ),
    ],
)
def test_groups_that_cannot_be_are_told(tiny, tmp_path, change, options, said):
    call = {"text": "review", "label": "stars", "model": tiny, "config": FAST, "output_dir": tmp_path / "out"}
    with pytest.raises(ValueError, match=said):
        finetune(letters().assign(**change), **call, **options)


# A table to validate with


def test_an_own_validation_file(tiny, tmp_path):
    visits(20).to_csv(tmp_path / "train.csv", index=False)
    visits(5).to_csv(tmp_path / "valid.csv", index=False)
    words = ["finetune", tmp_path / "train.csv", "--text", "review", "--label", "stars", "--model", tiny, "--epochs", 1]
    said = ask(*words, "--validation-file", tmp_path / "valid.csv", "--out", tmp_path / "out")
    assert "40 rows were read from train.csv, and 30 of them" in said and "10 rows were read from valid.csv" in said
    assert "10  the same text, give or take case, blanks or marks, is among the validation rows" in said
    report = load_report(tmp_path / "out")
    assert report.sizes == {"train": 30, "valid": 10} and np.array(report.confusion).sum() == 10
    assert "valid.csv: columns review, stars" in report.to_html() and "valid.csv: columns `review`" in report.card()
    said = ask(*words, "--out", tmp_path / "out", "--resume", code=2)
    assert "begun with validation=" in said and "valid.csv" in said
    assert "exclude one another" in ask(
        *words, "--validation", 0.2, "--validation-file", tmp_path / "valid.csv", "--out", tmp_path / "x", code=2
    )


@pytest.mark.parametrize("kind", [lambda frame: frame, Dataset.from_pandas])
def test_rows_of_both_tables_are_told_and_leave_training(kind):
    learned = pd.concat(
        [
            visits(20),
            pd.DataFrame([("GOOD food - visit 21", "bad"), ("mean", "so-so"), ("mean too", "so-so")], columns=COLUMNS),
        ]
    )
    valid = pd.concat(
        [
            visits(5, 20).replace("good", " GOOD\u200f".lower()),
            visits(1, 20),
            pd.DataFrame(
                [("odd", "odd"), ("odder", "odd"), (None, "good"), ("same", "good"), ("same", "bad"), ("so", "so-so")],
                columns=COLUMNS,
            ),
        ]
    )
    found = ready(kind(learned.reset_index(drop=True)), kind(valid.reset_index(drop=True)))
    assert found.names == ["bad", "good", "so-so"] and found.read == 43 and found.source["valid"]["read"] == 18
    counts = {why: one["count"] for why, one in found.dropped.items()}
    assert counts == {"in_validation": 1, "not_in_training": 2, "duplicate": 2, "contradiction": 2, "no_text": 1}
    assert found.dropped["not_in_training"]["example"] == "table, 13: odd | odd"
    assert (len(found.train), len(found.valid)) == (42, 11)
    assert found.notes[0]["key"] == "joined"


def test_labels_are_joined_over_both_tables_in_every_problem():
    several = visits(20).assign(stars=["food;price", "price", "food"] * 13 + ["food"])
    found = ready(several, several.assign(review=several["review"] + " again", stars="price; food"))
    assert found.problem == SEVERAL and found.names == ["food", "price"] and np.array(found.valid["label"][:]).all()
    numbers = visits(20).assign(stars=["1", "2,5"] * 20)
    found = ready(numbers, numbers.assign(review="new " + numbers["review"], stars=["7.5", "n/a"] * 20), problem=NUMBER)
    assert {*found.valid["label"][:]} == {7.5} and len(found.train) == 40 and found.dropped["no_label"]["count"] == 20


def test_a_group_in_both_tables_leaves_training():
    valid = letters(4).assign(review=lambda rows: rows["review"] + " later")
    found = ready(letters(), valid, group="customer")
    assert found.dropped["group_in_validation"]["count"] == 24 and len(found.train) == 48 and len(found.valid) == 24


def test_labels_among_several_that_no_training_row_has():
    learned = visits(20).assign(stars=["food;price", "price", "food", "food"] * 10)
    valid = visits(4, 50).assign(stars=["food", "food;parking", "parking", "price"] * 2)
    found = ready(learned, valid)
    assert found.dropped["not_in_training"]["count"] == 4 and len(found.valid) == 4


@pytest.mark.parametrize(
    ("validation", "said"),
    [
        (visits(20), r"no row of 'table' can be used \(the same text, give or take case, blanks or marks, is among"),
        (visits(20).rename(columns={"stars": "label"}), "'table' has no column 'stars'"),
        (
            visits(5, 30).assign(stars="odd"),
            r"no row of 'table' can be used \(no training row has this label: 10\)",
        ),
        ("none.csv", "there is no file 'none.csv'"),
        ({"test": 1}, "table has the splits 'test'"),
        (None, "validation is None; expected a share .* or a table to validate with"),
        (True, "validation is True"),
        (1, "validation is 1; expected a share of the rows above 0"),
    ],
)
def test_a_table_that_cannot_validate_is_told(validation, said):
    with pytest.raises(ValueError, match=said):
        ready(visits(20), validation)


def test_the_call_knows_its_validation_table(tiny, tmp_path):
    options = {"text": "review", "label": "stars", "model": tiny, "config": FAST, "output_dir": tmp_path / "out"}
    visits(5, 20).to_csv(tmp_path / "valid.csv", index=False)
    finetune(visits(20), validation=TableFile(tmp_path / "valid.csv", encoding="utf-8"), **options)
    with pytest.raises(ValueError, match="begun with validation="):
        finetune(visits(20), validation=TableFile(tmp_path / "valid.csv"), resume=True, **options)
    with pytest.raises(ValueError, match="begun with validation="):
        finetune(visits(20), validation=visits(5, 20), resume=True, **options)


# The best epoch


def test_the_best_round_is_the_one_with_the_lowest_loss():
    losses = [0.9, 0.5, 0.6, 0.5, float("nan"), 0.7]
    metrics = [{"loss": loss} for loss in losses]
    assert best_round(metrics) == 1
    assert [is_over(metrics[:n], 2) for n in range(7)] == [False, False, False, False, True, True, True]
    assert not is_over(metrics, None) and best_round([{"loss": float("nan")}]) == 0


WAVY = {"lr": 0.3, "epochs": 4, "batch_size": 5, "seed": 1}  # the loss goes up and down: the third epoch is the best


@pytest.fixture(scope="module")
def wavy():
    """A training that keeps its best epoch, without a folder."""
    return run(None, keep="best", **WAVY)


def loss_of(model) -> float:
    return evaluate(model, tiny_data(), collate=default_data_collator)["loss"]


def test_the_best_epoch_is_put_back(wavy, tmp_path):
    model, history = wavy
    losses = [scores["loss"] for scores in history.metrics]
    assert losses.index(min(losses)) == 2 and len(losses) == 4 and loss_of(model) == pytest.approx(min(losses))
    assert loss_of(run(None, **WAVY)[0]) == pytest.approx(losses[-1])
    assert same_weights(model, run(tmp_path / "run", keep="best", **WAVY)[0])
    assert same_weights(model, run(tmp_path / "run", True, keep="best", **WAVY)[0])


@pytest.mark.parametrize(
    "stop", [9, 10, 12, *(pytest.param(stop, marks=pytest.mark.long) for stop in (3, 5, 8, 11, 13, 14))]
)
def test_the_best_epoch_outlasts_a_stop(wavy, tmp_path, monkeypatch, stop):
    """A stop before or after any of the saves: within an epoch, before its evaluation, after it."""
    saves, save = [], Checkpoints.save

    def stopping(self, run):
        saves.append(run.step)
        if len(saves) == stop:
            raise KeyboardInterrupt
        save(self, run)

    monkeypatch.setattr(Checkpoints, "save", stopping)
    with pytest.raises(KeyboardInterrupt):
        run(tmp_path / "run", keep="best", save_steps=4, **WAVY)
    monkeypatch.undo()
    model, history = run(tmp_path / "run", True, keep="best", save_steps=4, **WAVY)
    assert same_weights(model, wavy[0]) and history.metrics == wavy[1].metrics
    assert len([*(tmp_path / "run").glob("best-*")]) <= 2


def test_weights_go_back_with_a_damaged_checkpoint(wavy, tmp_path):
    run(tmp_path / "run", keep="best", **WAVY)
    newest = max((tmp_path / "run").glob("checkpoint-*"))
    newest.write_bytes(newest.read_bytes()[:100])
    with pytest.warns(UserWarning, match="is damaged"):
        assert same_weights(wavy[0], run(tmp_path / "run", True, keep="best", **WAVY)[0])


def test_patience_ends_a_training():
    model, history = run(None, keep="best", patience=1, **WAVY)
    losses = [scores["loss"] for scores in history.metrics]
    assert len(losses) == 2 and loss_of(model) == pytest.approx(losses[0]) and losses[0] < losses[1]
    assert len(run(None, patience=2, **WAVY)[1].metrics) == 4


def test_two_processes_keep_the_best_epoch(tmp_path):
    assert finished(launch(tmp_path / "run", "random", "best")) == "2 24"
    found = {path.stem: load_file(path) for path in (tmp_path / "run").glob("best-*")}
    final = load_file(tmp_path / "run" / "final.safetensors")
    best = found[max(found)]
    assert all(torch.equal(best[name], tensor) for name, tensor in final.items())
    assert max(found) == "best-00000016"


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"keep": "first"}, "unknown keep 'first'; known: last, best"),
        ({"patience": 0}, "patience must be a whole number, 1 or more; got 0"),
        ({"patience": 1.5}, "patience must be a whole number"),
        ({"keep": "best"}, 'keep="best" and patience go by the loss on the validation data, and there are none'),
        ({"patience": 1}, "and there are none"),
    ],
)
def test_a_wrong_wish_is_told(options, said):
    with pytest.raises(ValueError, match=re.escape(said)):
        train(tiny_model(), tiny_data(), collate=default_data_collator, config=TrainConfig(**options))


def test_the_report_says_which_epoch_was_kept(tiny, tmp_path):
    """The labels to validate with are the wrong way round: the better the model, the worse its loss."""
    visits(40).to_csv(tmp_path / "a.csv", index=False)
    visits(9, 40).replace({"stars": {"good": "bad", "bad": "good"}}).to_csv(tmp_path / "b.csv", index=False)
    words = ["finetune", tmp_path / "a.csv", "--text", "review", "--label", "stars", "--model", tiny]
    wishes = ["--epochs", 4, "--lr", 0.01, "--keep", "best", "--patience", 1, "--validation-file", tmp_path / "b.csv"]
    said = ask(*words, *wishes, "--out", tmp_path / "out")
    report, best = load_report(tmp_path / "out"), 0
    assert "after epoch 1 of 2" in said and "stopped early, after epoch 2" in said
    assert report.scores["tuned"]["accuracy"] == report.history["metrics"][best]["accuracy"]
    assert "after epoch" in report.to_html() and "after epoch" in report.card()
    for lang in ("ar", "zh", "zh-Hant"):
        report.lang = lang
        assert "after epoch" not in report.to_html() and report.kept_texts()[1] in report.card()
    assert "unknown keep 'all'" in ask(*words, "--keep", "all", "--out", tmp_path / "x", code=2)


# A saved model, scored


@pytest.fixture(scope="module")
def model(tiny, tmp_path_factory):
    """The folder of a model that tells good from bad; three in four rows of its table are good."""
    folder = tmp_path_factory.mktemp("model") / "out"
    frame = pd.concat([visits(40), visits(80, 40).query("stars == 'good'")])
    config = TrainConfig(epochs=4, batch_size=8, lr=1e-2)
    finetune(frame, text="review", label="stars", model=tiny, config=config, output_dir=folder)
    return folder


def test_a_saved_model_is_scored(model, tmp_path):
    frame = visits(10, 200)
    frame.loc[len(frame)] = ["meh food", "so-so"]
    frame.loc[len(frame)] = [None, "good"]
    frame.loc[len(frame)] = ["good food, visit 200", "GOOD‏".lower()]
    frame.to_csv(tmp_path / "test.csv", index=False, encoding="utf-16")
    report = evaluate_table(model, tmp_path / "test.csv", text="review", label="stars")
    answers = Predictor(model).predict(frame["review"][:20]).labels
    right = sum(answer == label for answer, label in zip(answers, frame["stars"], strict=False))
    assert report.right == {"majority": 10, "tuned": right} and report.scores["tuned"]["accuracy"] == right / 20
    assert np.array(report.confusion).sum() == 20 and report.labels == [
        {"label": "bad", "train": 0, "valid": 10},
        {"label": "good", "train": 0, "valid": 10},
    ]
    counts = {why: one["count"] for why, one in report.dropped.items()}
    assert counts == {"no_text": 1, "duplicate": 1, "unknown_label": 1}
    text = str(report)
    assert "23 rows were read, 20 are scored" in text and "most frequent in training, good" in text
    assert "does not know these labels, and cannot give them: 'so-so' (1)" in text
    assert report.source["encoding"] == "utf-16" and "tested on test.csv" in report.to_html()
    for lang in ("ar", "zh", "zh-Hant"):
        report.lang = lang
        assert not re.search("majority|frequent|scored", report.to_html()) and "'so-so' (1)" in report.card()


def test_scores_are_those_of_the_training_report(model):
    """The rows that the training held back give the same scores when they come as a table of their own."""
    frame = pd.concat([visits(40), visits(80, 40).query("stars == 'good'")])
    held = prepare(frame, COLUMNS, "en", 0.1, 42, "").valid
    frame = pd.DataFrame({"review": held["text"][:], "stars": [["bad", "good"][n] for n in held["label"]]})
    before, after = load_report(model), evaluate_table(Predictor(model), frame, text="review", label="stars")
    assert (after.scores["tuned"], after.confusion) == (before.scores["tuned"], before.confusion)
    assert "of this table, good" in str(after)


def test_a_model_is_scored_on_the_command_line(model, tmp_path):
    visits(10, 200).to_csv(tmp_path / "test.csv", index=False)
    words = ["evaluate", model, tmp_path / "test.csv", "--text", "review", "--label", "stars"]
    assert "right answers out of 20" in ask(*words)
    assert "report.html" in ask(*words, "--out", tmp_path / "report", "--lang", "zh")
    page = (tmp_path / "report" / "report.html").read_text(encoding="utf-8")
    numbers = json.loads((tmp_path / "report" / "report.json").read_text(encoding="utf-8"))
    assert '<html lang="zh"' in page and numbers["sizes"] == {"valid": 20}
    assert "is there, and nothing is overwritten" in ask(*words, "--out", tmp_path / "report", code=2)
    ask(*words, "--out", tmp_path / "report", "--force")
    for suffix in (".html", ".json", ".md"):
        ask(*words, "--out", tmp_path / f"a{suffix}")
    assert "--force" in ask(*words, "--out", tmp_path / "a.md", code=2)
    assert (tmp_path / "a.md").read_text(encoding="utf-8").startswith("# Report of a test")
    visits(5).rename(columns={"stars": "label"}).to_csv(tmp_path / "other.csv", index=False)
    words[2] = tmp_path / "other.csv"
    assert "has no column 'stars'; its columns: 'review', 'label'" in ask(*words, code=2)
    visits(5).assign(stars="so-so").to_csv(tmp_path / "other.csv", index=False)
    said = ask(*words, code=2)
    assert "none of the labels in the column 'stars' of 'other.csv', such as 'so-so'; it knows 'bad', 'good'" in said
    visits(5).assign(stars=None).to_csv(tmp_path / "other.csv", index=False)
    assert "no row of 'other.csv' can be used (no label: 10)" in ask(*words, code=2)
    assert "threshold is 3.0" in ask(*words, "--threshold", 3, code=2)
    words[1] = tmp_path / "none"
    assert "no model could be loaded" in ask(*words, code=2)


def test_a_test_leaves_the_report_of_the_training_alone(model, tmp_path):
    folder = shutil.copytree(model, tmp_path / "model")
    visits(5, 200).to_csv(tmp_path / "test.csv", index=False)
    words = ["evaluate", folder, tmp_path / "test.csv", "--text", "review", "--label", "stars"]
    before = {path.name: path.read_bytes() for path in folder.iterdir()}
    for place in ("", "report.html", "report.json", "README.md", "config.json"):
        for more in ([], ["--force"]):
            said = ask(*words, "--out", folder / place, *more, code=2)
            assert "is part of a model, and the report of its training would be lost" in said
    assert {path.name: path.read_bytes() for path in folder.iterdir()} == before
    for name in ("test.html", "june.json"):
        for more in ([], ["--force"]):
            ask(*words, "--out", folder / name, *more)


def test_the_report_of_a_test_gets_the_folders_that_it_needs_or_is_refused_before(model, tmp_path):
    visits(5, 200).to_csv(tmp_path / "test.csv", index=False)
    words = ["evaluate", model, tmp_path / "test.csv", "--text", "review", "--label", "stars"]
    ask(*words, "--out", tmp_path / "reports" / "of" / "june.html")
    assert (tmp_path / "reports" / "of" / "june.html").is_file()
    ask(*words, "--out", tmp_path / "tests" / "2026.06")
    assert (tmp_path / "tests" / "2026.06" / "report.json").is_file()
    words[1] = "none"
    for name in ("june.txt", "test.csv", "reports/june.pdf"):
        for more in ([], ["--force"]):
            assert "a file that ends in .html, .json, .md" in ask(*words, "--out", tmp_path / name, *more, code=2)
    assert "Not a directory" in ask(*words, "--out", tmp_path / "test.csv" / "june.html", code=1)


def test_files_that_cannot_be_taken_away_yet_lose_no_report_and_no_answer(model, tmp_path, monkeypatch):
    """As on Windows, where a file that is open stays."""
    visits(5, 200).to_csv(tmp_path / "test.csv", index=False)
    unlink, kept = os.unlink, []

    def stays(path, **options):
        if str(path).endswith(".arrow"):
            kept.append(path)
            raise PermissionError(13, "in use", path)
        unlink(path, **options)

    monkeypatch.setattr(os, "unlink", stays)
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    words = [model, tmp_path / "test.csv", "--text", "review"]
    assert "out of 10" in ask("evaluate", *words, "--label", "stars") and kept
    assert "review,label,probability" in ask("predict", *words, "--out", "-") and len(kept) > 1


def test_a_threshold_that_changes_nothing_is_told(model, tmp_path):
    visits(5, 200).to_csv(tmp_path / "test.csv", index=False)
    words = [model, tmp_path / "test.csv", "--text", "review"]
    for command, more in (("evaluate", ["--label", "stars"]), ("predict", ["--out", tmp_path / "a.csv"])):
        assert "Note: --threshold 0.8 changes nothing here" in ask(command, *words, *more, "--threshold", 0.8)
        assert "Note" not in ask(command, *words, *more, *(["--force"] if command == "predict" else []))


def test_a_test_reads_long_texts_as_asked(model, tmp_path):
    frame = visits(4, 200)
    frame.loc[0, "review"] = "good food " + "and so on " * 30
    call = {"text": "review", "label": "stars"}
    cut, read = (evaluate_table(model, frame, max_length=12, windows=way, **call) for way in (False, True))
    assert cut.cut["rows"] == 1 and cut.cut["of"] == 8 and "windows" not in cut.cut
    assert "1 of the texts fill the 12 tokens" in str(cut) and "--windows" in str(cut)
    assert read.cut["windows"] > 7 + 10 and read.cut["valid"] == 1
    assert read.cut["read"] == (read.right["tuned"] == 8) and read.cut["cut"] == cut.right["tuned"] - 7
    frame.to_csv(tmp_path / "test.csv", index=False)
    words = ["evaluate", model, tmp_path / "test.csv", "--text", "review", "--label", "stars"]
    assert "They were read in windows that overlap" in ask(*words, "--max-length", 12, "--windows")
    assert "max_length is 1" in ask(*words, "--max-length", 1, code=2)


def test_a_model_without_its_report_is_scored_beside_the_table_itself(model, tmp_path):
    folder = shutil.copytree(model, tmp_path / "model")
    (folder / "report.json").write_text("[]", encoding="utf-8")
    report = evaluate_table(folder, visits(10, 200), text="review", label="stars")
    assert report.setting["baseline"] == "table"


def test_a_model_for_several_labels_is_scored(tiny, tmp_path):
    names = ["food", "price", "service"]
    rows = [(f"visit {n} {' '.join(names[: n % 3 + 1])}", ";".join(names[: n % 3 + 1])) for n in range(60)]
    frame = pd.DataFrame(rows, columns=COLUMNS)
    config = TrainConfig(epochs=2, batch_size=8, lr=1e-2)
    options = {"text": "review", "label": "stars"}
    tuned = finetune(frame, model=tiny, config=config, output_dir=tmp_path / "out", **options)
    test = frame.assign(review="new " + frame["review"], stars=frame["stars"].str.replace(";", " | "))
    test.loc[0, "stars"] = "food | parking"
    report = evaluate_table(tmp_path / "out", test, **options)
    assert report.dropped["unknown_label"]["count"] == 1 and report.sizes["valid"] == 59
    assert [*report.scores["tuned"]] == ["f1_micro", "f1_macro", "all_right"] and "'parking' (1)" in str(report)
    probabilities = tuned.predict(test["review"][1:].tolist()).probabilities
    truth = np.array([[name in cell for name in names] for cell in test["stars"][1:]])
    for threshold in (0.5, 0.9):
        found = evaluate_table(tmp_path / "out", test, threshold=threshold, **options)
        assert found.right["tuned"] == ((probabilities >= threshold) == truth).all(axis=1).sum()
    columns = test[1:].assign(**{name: test["stars"].str.contains(name).astype(int) for name in names})
    found = evaluate_table(tmp_path / "out", columns, text="review", label=names)
    assert found.scores == report.scores and found.setting["answer"] == report.setting["answer"]
    for more in ({}, {"windows": True, "max_length": 8}):
        found = evaluate_table(tmp_path / "out", columns, text="review", label=["service", "food"], **more)
        given = Predictor(tmp_path / "out", **more).predict(columns["review"].tolist()).probabilities
        assert found.right["tuned"] == ((given >= 0.5) == truth)[:, [0, 2]].all(axis=1).sum()
        assert found.names == ["food", "service"] and "no column for these labels of the model" in str(found)
        assert "'price'" in str(found) and found.setting["baseline"] == "training"


def test_a_test_on_the_table_of_the_training_is_told(tiny, tmp_path):
    (tmp_path / "test").mkdir()
    for place, start in (("a.csv", 0), ("test/b.csv", 90)):
        visits(20, start).to_csv(tmp_path / place, index=False)
    call = {"text": "review", "label": "stars"}
    finetune(tmp_path / "a.csv", model=tiny, config=FAST, output_dir=tmp_path / "out", **call)
    (tmp_path / "a.csv").rename(tmp_path / "test.csv")
    report = evaluate_table(tmp_path / "out", TableFile(tmp_path / "test.csv"), **call)
    assert "trained on this very table" in str(report) and "trained on this very table" in report.to_html()
    for lang in ("ar", "zh"):
        report.lang = lang
        assert message(lang, "finetune", "note.trained_on") in str(report)
    assert "this very table" not in str(evaluate_table(tmp_path / "out", tmp_path / "test" / "b.csv", **call))
    assert "this very table" not in str(evaluate_table(Predictor(tmp_path / "out"), tmp_path / "test.csv", **call))


def test_a_label_that_the_model_knows_is_no_gap(tiny, tmp_path):
    frame = visits(20).replace({"stars": {"good": "None"}})
    finetune(frame, text="review", label="stars", model=tiny, config=FAST, output_dir=tmp_path / "out")
    test = visits(5, 90).replace({"stars": {"good": "None"}})
    test.loc[len(test)] = ["so so", "severe"]
    report = evaluate_table(tmp_path / "out", test, text="review", label="stars")
    assert {one["label"]: one["valid"] for one in report.labels} == {"None": 5, "bad": 5}


def test_a_model_for_numbers_is_scored(tiny, tmp_path):
    frame = visits(40).assign(stars=[5, 1] * 40)
    config = TrainConfig(epochs=1, batch_size=8, lr=1e-2)
    options = {"text": "review", "label": "stars"}
    tuned = finetune(frame, model=tiny, config=config, output_dir=tmp_path / "out", regression=True, **options)
    test = visits(5, 90).assign(stars=["4,5", "1"] * 5)
    report = evaluate_table(tmp_path / "out", test, **options)
    errors = np.abs(tuned.predict(test["review"]).probabilities[:, 0] - [4.5, 1] * 5)
    assert report.scores["tuned"]["mae"] == pytest.approx(errors.mean(), rel=1e-4)
    assert report.scores["majority"]["mae"] == pytest.approx(1.75) and report.setting["answer"] == "3"
    assert report.labels == [{"label": "1", "train": 0, "valid": 5}, {"label": "4.5", "train": 0, "valid": 5}]


def test_a_model_for_pairs_wants_pairs_and_one_for_single_texts_none(model, tiny, tmp_path):
    frame = visits(20).assign(answer=[f"answer {number}" for number in range(40)])
    folder, texts = tmp_path / "pairs", ["review", "answer"]
    finetune(frame, text=texts, label="stars", model=tiny, config=FAST, output_dir=folder)
    frame.to_csv(tmp_path / "a.csv", index=False)
    one, two = ["--text", "review"], ["--text", "review", "--text", "answer"]
    for place, words, said in (
        (folder, one, "on pairs of texts, from the columns 'review', 'answer'; got one text"),
        (model, two, "on single texts, from the column 'review'; got pairs, from 'review', 'ans"),
    ):
        for more in (["--out", tmp_path / "b.csv"], ["--out", "-"]):
            assert said in ask("predict", place, tmp_path / "a.csv", *words, *more, code=2)
        assert said in ask("evaluate", place, tmp_path / "a.csv", *words, "--label", "stars", code=2)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a.csv", "pairs"]
    assert (pairs_of(folder), pairs_of(model)) == (True, False)
    ask("predict", folder, tmp_path / "a.csv", *two, "--out", tmp_path / "b.csv")


def test_labels_of_a_model_without_names_are_numbers(tiny):
    model = AutoModelForSequenceClassification.from_pretrained(tiny)
    frame = visits(5).assign(stars=[1, 0] * 5)
    report = evaluate_table(Predictor(model, load_tokenizer(tiny)), frame, text="review", label="stars")
    assert report.sizes["valid"] == 10 and report.names == ["LABEL_0", "LABEL_1"]
