"""Numbers as answers: stars as a scale, prices, whatever their size."""

import tracemalloc
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
import torch
from datasets import Dataset, Features, Value
from transformers import AutoModelForSequenceClassification, default_data_collator, pipeline
from typer.testing import CliRunner

from ftcourse.cli import app
from ftcourse.engine.answers import answer_cells, neutral
from ftcourse.engine.cleaning import NUMBER, Prepared, prepare
from ftcourse.engine.models import start_model
from ftcourse.engine.problems import Scale, head_of, measure_numbers, number_groups, number_scores
from ftcourse.engine.report import load_report, report_on, setting_of
from ftcourse.finetune import finetune
from ftcourse.inference import Predictor
from ftcourse.kit import Kit
from ftcourse.loop import History, TrainConfig, train
from ftcourse.service.app import answers
from tests.tiny import FAST, tiny_checkpoint

COLUMNS = ["review", "stars"]
WORDS = {"awful": 1, "poor": 2, "fine": 3, "nice": 4, "lovely": 5}


@pytest.fixture(scope="module")
def tiny(tmp_path_factory) -> str:
    return tiny_checkpoint(tmp_path_factory.mktemp("tiny"))


@pytest.fixture
def frame() -> pd.DataFrame:
    """Reviews with half stars that follow from two words of each."""
    pairs = [(n, *np.random.default_rng(n).choice([*WORDS], 2)) for n in range(120)]
    rows = [(f"{n} food {one}, service {other}", (WORDS[one] + WORDS[other]) / 2) for n, one, other in pairs]
    return pd.DataFrame(rows, columns=COLUMNS)


def prepared(frame):
    return prepare(frame, COLUMNS, "en", 0.25, 0, "", NUMBER)


@pytest.mark.parametrize("kind", [float, str])
def test_labels_are_numbers_and_gaps_are_left_out(frame, kind):
    frame["stars"] = frame["stars"].astype(kind).astype(object)
    frame.loc[:9, "stars"] = None
    frame.loc[10:14, "stars"] = "N/A"
    found = prepared(frame)
    assert found.names == ["stars"] and found.problem == NUMBER
    assert {*found.train["label"][:]} <= {half / 2 for half in range(2, 11)}
    assert found.dropped["no_label"]["count"] == 15 and found.notes[0]["words"] == "'N/A' (5)"
    assert len(found.train) + len(found.valid) == 105 and not {*found.train["text"]} & {*found.valid["text"]}


def test_a_number_may_be_written_in_several_ways(frame):
    frame["stars"] = ["1,5", "1.5", "\u0661\u066b\u0665", "\uff12"] * 30
    assert {*prepared(frame).train["label"][:]} == {1.5, 2.0}


def test_small_numbers_are_read_as_every_program_writes_them(frame, tmp_path):
    frame["stars"] = [2.3e-05, 0.5, 1e-07] * 40
    frame.to_csv(tmp_path / "a.csv", index=False)
    frame.to_parquet(tmp_path / "a.parquet")
    for table in (frame, tmp_path / "a.csv", tmp_path / "a.parquet"):
        found = prepare(table, COLUMNS, "en", 0.25, 0, str(tmp_path / "work"), NUMBER)
        assert {*found.train["label"][:]} == {*np.float32([2.3e-05, 0.5, 1e-07]).tolist()}


@pytest.mark.parametrize(
    ("change", "options", "said"),
    [
        ({"stars": "good"}, {}, "column 'stars' of 'table' has the cell 'good'; expected a number"),
        ({"stars": "1,000"}, {}, "has the cell '1,000'; expected a number"),
        ({"stars": 3}, {}, "all usable rows of 'table' have the label '3'"),
        ({"stars": None}, {}, "no row of 'table' can be used"),
        ({}, {"multi_label": True}, "regression answers with one number, and several labels were asked for"),
        ({}, {"label": ["stars", "more"]}, "regression answers with one number, and several labels were asked for"),
        ({}, {"regression": "yes"}, "regression is 'yes'; expected True"),
        ({}, {"config": TrainConfig(epochs=1, class_weights="balanced")}, "class_weights needs labels to count"),
    ],
)
def test_a_wrong_call_says_what_is_wrong(tiny, frame, tmp_path, change, options, said):
    call = {"text": "review", "label": "stars", "model": tiny, "config": FAST, "regression": True}
    with pytest.raises(ValueError, match=said):
        finetune(frame.assign(**change), output_dir=tmp_path / "out", **(call | options))


def test_a_column_of_many_numbers_is_told_of_regression(frame):
    with pytest.raises(ValueError, match="--regression, or regression=True"):
        prepare(frame.assign(stars=np.arange(120) / 7), COLUMNS, "en", 0.25, 0, "")


@pytest.mark.parametrize("name", ["encoder", "writer"])
def test_a_scale_goes_there_and_back(frame, name):
    frame["stars"] *= 1000
    scale, (model, _) = Scale(prepared(frame)), start_model(Kit().model(name), ["stars"], 0, NUMBER)
    rows = prepared(frame).train.rename_column("label", "labels")
    learned = np.array(scale.ready(model, [rows])[0]["labels"][:])
    assert learned.std() == pytest.approx(1, abs=1e-3)
    assert np.allclose(scale.back(learned), rows["labels"][:], rtol=1e-4)
    inputs = {"input_ids": torch.tensor([[2, 3, 4]])}
    before = model.eval()(**inputs).logits.item()
    scale.finish(model)
    assert model(**inputs).logits.item() == pytest.approx(scale.back(before), rel=1e-3)
    assert head_of(model).out_features == 1


def test_numbers_are_trained_answered_and_told(tiny, frame, tmp_path):
    frame["stars"] *= 100
    config, asked = TrainConfig(epochs=2, batch_size=16, lr=5e-3, save_steps=2), []
    options = {"text": "review", "label": "stars", "model": tiny, "config": config, "regression": True}

    def stop(prediction):
        asked.append(prediction)
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        finetune(frame, output_dir=tmp_path / "out", metrics=stop, **options)
    assert asked[0].label_ids.min() > 99 and asked[0].label_ids.max() <= 500.1
    tuned = finetune(frame, output_dir=tmp_path / "out", resume=True, **options)
    whole = finetune(frame, output_dir=tmp_path / "whole", **options)
    pairs = zip(tuned.model.state_dict().values(), whole.model.state_dict().values(), strict=True)
    assert all(torch.equal(one, other) for one, other in pairs)
    found = tuned.predict(frame["review"].tolist()[:3])
    assert found.labels == found.probabilities[:, 0].tolist() and all(100 < one < 500 for one in found.labels)
    piped = pipeline("text-classification", model=str(tmp_path / "out"))(frame["review"].tolist()[:3])
    assert np.allclose([one["score"] for one in piped], found.labels, rtol=1e-3)
    report = load_report(tmp_path / "out")
    assert [*report.scores["tuned"]] == ["mae", "rmse", "r2"] and report.problem == NUMBER
    assert report.scores["tuned"]["mae"] < 150 and report.history["metrics"][-1]["mae"] == pytest.approx(
        report.scores["tuned"]["mae"], rel=1e-3
    )
    assert sum(entry["valid"] for entry in report.labels) == report.sizes["valid"] == 12
    assert "closer to the right number" in str(report) and "mean answer" in report.to_html()
    for lang in ("ar", "zh", "zh-Hant"):
        report.lang = lang
        assert "median" not in report.to_html() and "mae" in report.card()

    frame[["review"]].head(3).to_csv(tmp_path / "new.csv", index=False)
    words = ["predict", tmp_path / "out", tmp_path / "new.csv", "--text", "review", "--out", tmp_path / "a.csv"]
    assert CliRunner().invoke(app, [str(word) for word in words]).exit_code == 0
    answers = pd.read_csv(tmp_path / "a.csv")
    assert [*answers] == ["review", "label"] and np.allclose(answers["label"], found.labels, atol=1e-3)


def test_a_model_for_numbers_needs_one_number(tiny, tmp_path):
    model = AutoModelForSequenceClassification.from_pretrained(tiny, num_labels=2, problem_type="regression")
    with pytest.raises(ValueError, match="num_labels=2 and problem_type='regression'; expected two labels or more"):
        Predictor(model, Predictor(Kit().model("stars")).tokenizer)


def test_many_numbers_are_told_in_five_groups():
    values = np.random.default_rng(0).random(100)
    groups = number_groups(values)
    assert len(groups) == 5 and sum(rows.sum() for _, rows in groups) == 100
    assert [name for name, _ in number_groups(np.array([1.0, 0.5]))] == ["0.5", "1"]


def split(train: np.ndarray, valid: np.ndarray) -> Prepared:
    """Rows with these numbers, to train and to validate with."""
    kinds = Features({"text": Value("string"), "label": Value("float32")})
    rows = [Dataset.from_dict({"text": [""] * len(part), "label": part}, features=kinds) for part in (train, valid)]
    return Prepared(
        *rows, ["stars"], {"name": "a.csv", "columns": COLUMNS, "encoding": "utf-8"}, len(train), {}, problem=NUMBER
    )


def measured(rows: Prepared, answers: np.ndarray) -> dict:
    """How answers for the validation rows do."""
    usual = np.full(len(answers), np.median(rows.train["label"][:]))
    others = {"majority": usual, "tfidf": usual}
    return measure_numbers(rows, answers[:, None], others, number_scores, lambda *_: "close")


def test_an_answer_is_right_where_no_number_of_the_training_is_nearer():
    train, random = np.array([2.0, 1.0, 1.5]), np.random.default_rng(0)
    valid, answers = random.choice(train, 200), random.choice(np.arange(0.5, 2.6, 0.125), 200).astype(np.float32)
    scale = np.unique(train)
    nearest = scale[np.abs(answers[:, None] - scale).argmin(axis=1)]
    assert measured(split(train, valid), answers)["right"]["tuned"] == (nearest == valid).sum() > 0


def test_many_different_numbers_take_no_memory_for_each_pair():
    rows, answers = split(*np.random.default_rng(0).random((2, 3000))), np.linspace(0, 1, 3000, dtype=np.float32)
    tracemalloc.start()
    try:
        measured(rows, answers)
        assert tracemalloc.get_traced_memory()[1] < 20e6
    finally:
        tracemalloc.stop()


def test_small_numbers_keep_their_digits():
    config, numbers = SimpleNamespace(problem_type="regression", num_labels=1), np.float32([3.21e-05, 1234567])
    assert answer_cells(SimpleNamespace(labels=numbers.tolist()), config) == [("3.21e-05",), ("1234567",)]
    assert neutral("-3.21e-05") == "-3.21e-05" and neutral("-3.21e-05x") == "'-3.21e-05x"
    assert answers(numbers[:, None], config, 0.5) == [{"number": 3.21e-05}, {"number": 1234567.0}]
    assert answers(np.float32([[np.nan]]), config, 0.5) == [{"number": None}]
    rows = split(np.array([1e-05, 3e-05]), np.array([2e-05, 4e-05]))
    found, setting = measured(rows, np.array([2.5e-05, 3.25e-05])), setting_of("tiny", FAST)
    report = report_on(rows, History(), found, "en", seconds={}, setting=setting)
    assert "the tuned model: mae 6.250e-06, rmse 6.374e-06, r2 0.5938" in str(report)
    assert '<td class="n">6.250e-06</td>' in report.scores_html() and "| 6.250e-06 |" in report.card()
    assert '<td class="n">7.500e-06</td>' in report.mistakes_html() and ">2.500e-05<" in report.mistakes_html()
    assert ">2.500e-05<" in report.confusion_html()


@pytest.mark.parametrize("stream", [False, True])
def test_whole_numbers_are_learned_as_numbers(tiny, stream):
    model = AutoModelForSequenceClassification.from_pretrained(tiny, num_labels=1, ignore_mismatched_sizes=True)
    rows = Dataset.from_dict({"input_ids": [[2, 5 + n, 3] for n in range(4)], "labels": [5, 3, 1, 2]})
    config = TrainConfig(epochs=1, batch_size=2, max_steps=2 if stream else None)
    data = rows.to_iterable_dataset() if stream else rows
    losses = train(model, data, collate=default_data_collator, config=config).losses
    assert len(losses) == 2 and np.isfinite(losses).all()
