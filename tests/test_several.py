"""Several labels a text: found or asked for, trained, scored, told, and answered."""

import json
import shutil

import numpy as np
import pandas as pd
import pytest
import torch
from datasets import ClassLabel, Dataset, List
from hypothesis import given, settings
from hypothesis import strategies as st
from transformers import AutoModelForSequenceClassification, EvalPrediction, pipeline
from typer.testing import CliRunner

from ftcourse.cli import app
from ftcourse.engine.answers import answer_columns
from ftcourse.engine.cleaning import ONE_LABEL, SEVERAL, prepare
from ftcourse.engine.folders import MARK
from ftcourse.engine.problems import label_scores
from ftcourse.engine.report import load_report
from ftcourse.engine.several import split_several
from ftcourse.finetune import finetune
from ftcourse.inference import Predictor
from ftcourse.loop import TrainConfig
from tests.tiny import FAST, tiny_checkpoint

SETS = [["food"], ["food", "service"], ["service"], ["food", "price", "service"]]
COLUMNS = ["review", "stars"]


@pytest.fixture(scope="module")
def tiny(tmp_path_factory) -> str:
    return tiny_checkpoint(tmp_path_factory.mktemp("tiny"))


def table(cells, times: int = 12) -> pd.DataFrame:
    """Reviews that name what they are about, with these cells for the four sets of labels."""
    rows = [(f"visit {n} {' '.join(SETS[n % 4])}", cells[n % 4]) for n in range(4 * times)]
    return pd.DataFrame(rows, columns=COLUMNS)


SEMICOLONS = table([";".join(names) for names in SETS])


@pytest.fixture(scope="module")
def model(tiny, tmp_path_factory) -> tuple[Predictor, object]:
    """A predictor for three labels, and the folder that it lies in."""
    folder = tmp_path_factory.mktemp("several") / "out"
    config = TrainConfig(epochs=3, batch_size=8, lr=1e-2)
    options = {"text": "review", "label": "stars", "model": tiny, "config": config}
    return finetune(SEMICOLONS, output_dir=folder, **options), folder


def answers(found) -> list[set]:
    return [
        {found.names[n] for n in np.flatnonzero(row)} for row in [*found.train["label"][:], *found.valid["label"][:]]
    ]


@pytest.mark.parametrize(
    "cells",
    [
        [";".join(names) for names in SETS],
        ["; ".join([*reversed(names), ""]) for names in SETS],
        [" | ".join(names) for names in SETS],
        ["\u3001".join(names) for names in SETS],
        [", ".join(names) for names in SETS],
        [json.dumps(names) for names in SETS],
        [str(names) for names in SETS],
        [str(np.array(names)) for names in SETS],
        [str(tuple(names)) for names in SETS],
        [str({*names}) for names in SETS],
        SETS,
        [tuple(names) for names in SETS],
    ],
)
def test_several_labels_are_found_however_they_are_written(cells):
    found = prepare(table(cells), COLUMNS, "en", 0.25, 0, "")
    assert found.problem == SEVERAL and found.names == ["food", "price", "service"]
    texts = [*found.train["text"][:], *found.valid["text"][:]]
    assert answers(found) == [{*text.split()[2:]} for text in texts]
    assert found.notes[0]["key"] == "several" and found.notes[0]["labels"] == 3


def test_lists_in_a_data_set_are_several_labels(tmp_path):
    rows = Dataset.from_pandas(table(SETS))
    assert prepare(rows, COLUMNS, "en", 0.25, 0, str(tmp_path)).names == ["food", "price", "service"]
    numbered = rows.map(lambda row: {"stars": [SETS[3].index(name) for name in row["stars"]]})
    numbered = numbered.cast_column("stars", List(ClassLabel(names=SETS[3])))
    assert prepare(numbered, COLUMNS, "en", 0.25, 0, str(tmp_path)).names == ["food", "price", "service"]
    table(SETS).to_json(tmp_path / "a.jsonl", orient="records", lines=True)
    found = prepare(tmp_path / "a.jsonl", COLUMNS, "en", 0.25, 0, str(tmp_path / "work"))
    assert found.problem == SEVERAL and len(found.train) + len(found.valid) == 48


@pytest.mark.parametrize(
    ("yes", "no"),
    [
        (1, 0),
        (True, False),
        ("yes", "no"),
        ("x", None),
        ("\u0646\u0639\u0645", "\u0644\u0627"),
        ("\u662f", "\u5426"),
        (1.0, 0.0),
    ],
)
def test_a_column_for_each_label(yes, no):
    frame = SEMICOLONS.assign(**{name: None for name in SETS[3]})
    for name in SETS[3]:
        marks = [yes if name in cell else no for cell in frame["stars"]]
        frame[name] = pd.Series(marks, dtype=object if no is None else None)
    found = prepare(frame, ["review", SETS[3]], "en", 0.25, 0, "")
    assert found.names == SETS[3] and found.problem == SEVERAL
    texts = [*found.train["text"][:], *found.valid["text"][:]]
    assert answers(found) == [{*text.split()[2:]} for text in texts]


@pytest.mark.parametrize("gap", [None, "NA", "None", "N/A"])
def test_a_gap_beside_yes_and_no_is_a_gap_and_rows_without_any_label_are_used(gap):
    frame = SEMICOLONS.assign(a=["1", "0", "0", gap] * 12, b=["1", "1", "0", "1"] * 12)
    found = prepare(frame, ["review", ["a", "b"]], "en", 0.25, 0, "")
    assert found.dropped["no_label"]["count"] == 12 and set() in answers(found)


@pytest.mark.parametrize("cells", [["a", "a;b", "nan", "b"], ['["a"]', '["a", "b"]', None, '["b", "N/A"]']])
def test_gaps_and_joined_labels_among_several(cells):
    found = prepare(table(cells), COLUMNS, "en", 0.25, 0, "")
    assert found.names == ["a", "b"] and found.dropped["no_label"]["count"] == 12


def test_the_same_labels_in_another_order_are_no_contradiction():
    frame = pd.concat(
        [SEMICOLONS, SEMICOLONS.assign(stars=[";".join(reversed(cell.split(";"))) for cell in SEMICOLONS["stars"]])]
    )
    assert {why: one["count"] for why, one in prepare(frame, COLUMNS, "en", 0.25, 0, "").dropped.items()} == {
        "duplicate": 48
    }


def test_a_label_that_one_row_has_leaves_with_its_row():
    frame = pd.concat([SEMICOLONS, pd.DataFrame({"review": ["new"], "stars": ["food;parking"]})])
    found = prepare(frame, COLUMNS, "en", 0.25, 0, "")
    assert found.names == SETS[3] and found.dropped["rare"]["count"] == 1


def test_what_was_asked_for_goes_before_what_was_found():
    assert prepare(SEMICOLONS, COLUMNS, "en", 0.25, 0, "", ONE_LABEL).names[1] == "food;price;service"
    frame = table(["a", "b", "c", "d"])
    assert prepare(frame, COLUMNS, "en", 0.25, 0, "", SEVERAL).problem == SEVERAL


@settings(deadline=None)
@given(
    st.lists(st.lists(st.booleans(), min_size=3, max_size=3), min_size=8, max_size=60),
    st.floats(0.1, 0.5),
    st.integers(0, 9),
)
def test_a_split_has_every_row_once_and_each_label_in_both_parts(marks, validation, seed):
    marks = np.array(marks)
    parts = split_several(marks, validation, seed)
    assert sorted([*parts[0], *parts[1]]) == [*range(len(marks))]
    totals = marks.sum(axis=0)
    assert (marks[parts[0]].sum(axis=0)[totals > 0] > 0).all()


def test_a_large_split_keeps_the_shares():
    marks = np.random.default_rng(0).random((2000, 5)) < [0.5, 0.2, 0.1, 0.05, 0.01]
    train, valid = split_several(marks, 0.2, 0)
    assert np.allclose(marks[valid].sum(axis=0) / marks.sum(axis=0), 0.2, atol=0.06)
    assert abs(len(valid) - 400) < 20 and len(train) + len(valid) == 2000


def test_scores_of_several_labels():
    logits = np.array([[2.0, -1.0, 1.0], [1.0, -3.0, -1.0]])
    scores = label_scores(EvalPrediction(logits, np.array([[1, 0, 0], [1, 0, 0]])))
    assert scores == {"f1_micro": pytest.approx(0.8), "f1_macro": pytest.approx(1 / 3), "all_right": 0.5}


def test_several_labels_are_trained_and_answered(model, tmp_path):
    predictor, folder = model
    network = AutoModelForSequenceClassification.from_pretrained(folder)
    assert network.config.problem_type == SEVERAL and network.config.id2label == dict(enumerate(SETS[3]))
    texts = SEMICOLONS["review"].tolist()[:4]
    found = predictor.predict(texts)
    assert found.labels == [[SETS[3][n] for n in np.flatnonzero(row >= 0.5)] for row in found.probabilities]
    assert not np.allclose(found.probabilities.sum(axis=1), 1)
    piped = pipeline("text-classification", model=str(folder), top_k=None)(texts)
    scores = [[{one["label"]: one["score"] for one in row}[name] for name in SETS[3]] for row in piped]
    assert np.allclose(scores, found.probabilities, atol=1e-4)
    everything, nothing = (Predictor(folder, threshold=one).predict(texts).labels for one in (1e-6, 1 - 1e-6))
    assert everything == [SETS[3]] * 4 and nothing == [[]] * 4


def test_the_report_knows_several_labels(model):
    report = load_report(model[1])
    assert report.problem == SEVERAL and [*report.scores["tuned"]] == ["f1_micro", "f1_macro", "all_right"]
    valid = report.sizes["valid"]
    assert sum(report.sizes.values()) == 48 and np.array(report.confusion).sum(axis=(1, 2)).tolist() == [valid] * 3
    assert report.right["tuned"] == round(report.scores["tuned"]["all_right"] * valid)
    assert {*report.closer} == {"tuned", "best"} and sum(report.closer.values()) <= valid
    page = report.to_html()
    assert "several of 3 labels, as in &#x27;food;service&#x27;" in page and "wrongly given" in page
    assert "top_k=None" in report.card() and "more labels right" in str(report)


@pytest.mark.parametrize("lang", ["ar", "zh", "zh-Hant"])
def test_the_report_of_several_labels_is_in_the_readers_language(model, lang):
    report = load_report(model[1])
    report.lang = lang
    assert "several" not in report.to_html() and "food;service" in str(report)


def test_a_stopped_training_ends_in_the_same_weights(tiny, tmp_path):
    config, asked = TrainConfig(epochs=3, batch_size=8, lr=5e-3, save_steps=2), []
    options = {"text": "review", "label": "stars", "model": tiny, "config": config}

    def stop(prediction):
        asked.append(1)
        if len(asked) == 2:
            raise KeyboardInterrupt
        return label_scores(prediction)

    with pytest.raises(KeyboardInterrupt):
        finetune(SEMICOLONS, output_dir=tmp_path / "out", metrics=stop, **options)
    resumed = finetune(SEMICOLONS, output_dir=tmp_path / "out", resume=True, **options)
    whole = finetune(SEMICOLONS, output_dir=tmp_path / "whole", **options)
    pairs = zip(resumed.model.state_dict().values(), whole.model.state_dict().values(), strict=True)
    assert all(torch.equal(one, other) for one, other in pairs)
    with pytest.raises(ValueError, match="begun with multi_label=None, not True"):
        finetune(SEMICOLONS, output_dir=tmp_path / "out", resume=True, multi_label=True, **options)


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"label": 3}, "label is 3; expected the name of a column, or a list of names"),
        ({"label": []}, r"label is \[\]; expected the name of a column"),
        ({"label": ["stars", "stars"]}, "'stars' is named twice"),
        ({"label": ["stars", "id"]}, "column 'stars' of 'table' has the cell 'food'; expected yes or no, as 1 and 0"),
        ({"label": ["stars", "id"], "multi_label": False}, r"label names several columns, \['stars', 'id'\]"),
        ({"label": ["id", "none"]}, "has no column 'none'"),
        ({"multi_label": "yes"}, "multi_label is 'yes'; expected True"),
    ],
)
def test_a_wrong_call_says_what_is_wrong(tiny, tmp_path, options, said):
    call = {"text": "review", "label": "stars", "model": tiny, "config": FAST, "output_dir": tmp_path / "out"}
    with pytest.raises(ValueError, match=said):
        finetune(SEMICOLONS.assign(id=1), **(call | options))


@pytest.mark.parametrize("threshold", [0, 1, 50, "half", None])
def test_a_threshold_is_a_probability(model, threshold):
    with pytest.raises(ValueError, match="threshold is .*; expected a probability above 0 and below 1"):
        Predictor(model[1], threshold=threshold)


def ask(*words: object, code: int = 0) -> str:
    result = CliRunner().invoke(app, [str(word) for word in words])
    assert result.exit_code == code, (result.output, result.exception)
    return result.output


def test_from_a_table_to_answers_on_the_command_line(tiny, tmp_path):
    SEMICOLONS.assign(**{name: SEMICOLONS["stars"].str.contains(name).astype(int) for name in SETS[3]}).to_csv(
        tmp_path / "a.csv", index=False
    )
    words = ["finetune", tmp_path / "a.csv", "--text", "review", "--model", tiny, "--epochs", 1]
    ask(*words, "--label", "food", "--label", "price", "--out", tmp_path / "columns")
    assert load_report(tmp_path / "columns").names == ["food", "price"]
    ask(*words, "--label", "stars", "--one-label", "--out", tmp_path / "one")
    assert load_report(tmp_path / "one").problem == ONE_LABEL
    assert "multi_label=False" in ask(
        *words, *["--label", "food", "--label", "price"], "--one-label", "--out", "x", code=2
    )


def test_answers_on_the_command_line(model, tmp_path):
    pd.DataFrame({"review": ["visit food", None, "visit price"]}).to_csv(tmp_path / "new.csv", index=False)
    words = ["predict", model[1], tmp_path / "new.csv", "--text", "review"]
    said = ask(*words, "--out", tmp_path / "all.csv", "--threshold", 1e-6)
    assert "2 have an answer" in said or "3 rows were read, 2" in said
    found = pd.read_csv(tmp_path / "all.csv", dtype=str, keep_default_na=False)
    assert [*found] == ["review", "label", *(f"probability: {name}" for name in SETS[3])]
    assert found["label"].tolist() == ["food;price;service", "", "food;price;service"]
    assert found.iloc[1].tolist() == [""] * 5
    ask(*words, "--out", tmp_path / "none.csv", "--threshold", 0.999999)
    none = pd.read_csv(tmp_path / "none.csv", dtype=str, keep_default_na=False)
    assert (
        none["label"].tolist() == [""] * 3 and none["probability: food"].tolist() == found["probability: food"].tolist()
    )
    assert "threshold is 2.0" in ask(*words, "--out", tmp_path / "x.csv", "--threshold", 2, code=2)


def test_no_two_columns_of_answers_have_one_name(model, tmp_path):
    config = model[0].model.config
    assert answer_columns(config, ["label", "probability: food"])[:2] == ["label (2)", "probability: food (2)"]
    pd.DataFrame({"label": ["visit food"], "label (2)": ["more"]}).to_csv(tmp_path / "new.csv", index=False)
    folder = shutil.copytree(model[1], tmp_path / "model", ignore=shutil.ignore_patterns(MARK))  # not for pairs
    words = ["predict", folder, tmp_path / "new.csv", "--text", "label", "--text", "label (2)"]
    ask(*words, "--out", tmp_path / "a.csv")
    header = (tmp_path / "a.csv").read_text(encoding="utf-8-sig").splitlines()[0]
    assert header.startswith("label,label (2),label (3),probability: food")
