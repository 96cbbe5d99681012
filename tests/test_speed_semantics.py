"""What makes training and predicting fast changes nothing else: order, coverage, answers, repeatability."""

import numpy as np
import pytest
import torch
from datasets import Dataset, load_dataset
from transformers import (
    AutoModelForSequenceClassification,
    AutoTokenizer,
    DataCollatorWithPadding,
    default_data_collator,
    set_seed,
)

from ftcourse.data import tokenize
from ftcourse.engine import precision as precisions
from ftcourse.engine.batches import make_loader, pad_rows, parts_of, token_batches
from ftcourse.engine.checks import SAMPLINGS
from ftcourse.engine.models import load_classifier
from ftcourse.engine.precision import faster_precision
from ftcourse.inference import Predictor, batch_probabilities
from ftcourse.kit import Kit
from ftcourse.loop import TrainConfig, train

KIT = Kit()


@pytest.fixture(scope="module")
def reviews():
    rows = load_dataset(*KIT.dataset("reviews"), split="test").select(range(90))
    return rows.add_column("row", range(len(rows)))


@pytest.fixture(scope="module")
def tokenizer():
    return AutoTokenizer.from_pretrained(KIT.model("stars"))


@pytest.fixture(scope="module")
def texts(reviews):
    return [*reviews["text"][:], "", " ".join(reviews["text"][:20]), "好", reviews["text"][0]]


@pytest.fixture(scope="module")
def one_by_one(texts, tokenizer):
    model = load_classifier(KIT.model("stars"))
    return np.concatenate([batch_probabilities([text], model, tokenizer, 512) for text in texts])


@pytest.mark.parametrize("batch_size", [1, 7, 128])
def test_predictions_are_those_of_unsorted_unbatched_texts(texts, one_by_one, batch_size):
    predictions = Predictor(KIT.model("stars"), batch_size=batch_size).predict(texts)
    assert np.allclose(predictions.probabilities, one_by_one, atol=1e-4)
    names = Predictor(KIT.model("stars")).model.config.id2label
    assert predictions.labels == [names[number] for number in one_by_one.argmax(axis=1)]


def test_predictions_do_not_depend_on_where_groups_end(texts, one_by_one, monkeypatch):
    monkeypatch.setattr("ftcourse.engine.forward.GROUP", 10)
    monkeypatch.setattr("ftcourse.engine.batches.BATCH_TOKENS", {"cpu": 100})
    assert np.allclose(Predictor(KIT.model("stars")).predict(texts).probabilities, one_by_one, atol=1e-4)


def test_predictions_in_half_precision_are_close(texts, one_by_one):
    found = Predictor(KIT.model("stars"), precision="bf16").predict(texts).probabilities
    assert found.dtype == np.float32 and 0 < np.abs(found - one_by_one).max() < 0.05


def test_a_measured_precision_is_kept_and_one_of_the_two(texts):
    predictor = Predictor(KIT.model("stars"), precision="auto")
    predictor.predict(texts[:8])
    assert predictor.precision in ("no", "bf16")


def test_no_texts_are_no_predictions():
    predictions = Predictor(KIT.model("stars"), precision="auto").predict([])
    assert predictions.labels == [] and predictions.probabilities.shape == (0, 5)


def test_batches_hold_every_row_once_within_rows_and_tokens():
    lengths = np.random.default_rng(0).integers(0, 300, size=500)
    batches = token_batches(lengths.tolist(), batch_size=32, batch_tokens=1024)
    assert sorted(row for rows in batches for row in rows) == list(range(500))
    assert max(map(len, batches)) == 32
    assert all(len(rows) * lengths[rows].max() <= 1024 for rows in batches)
    assert token_batches([5000], 32, 1024) == [[0]] and token_batches([], 32, 1024) == []


@pytest.mark.parametrize("side", ["left", "right"])
def test_padding_is_the_tokenizers(texts, side):
    tokenizer = AutoTokenizer.from_pretrained(KIT.model("stars"), padding_side=side)
    encoded, rows = tokenizer(texts[:6]), [3, 0, 5]
    expected = tokenizer([texts[row] for row in rows], padding=True, return_tensors="pt")
    found = pad_rows(encoded, rows, tokenizer)
    assert found.keys() == expected.keys() and all(torch.equal(found[name], expected[name]) for name in found)


def rows_of(loader):
    return [[int(row) for row in batch["row"]] for batch in loader]


@pytest.fixture(scope="module")
def numbered(reviews, tokenizer):
    """A loader's maker: batches of row numbers, by configuration."""
    data = tokenize(reviews, tokenizer)
    collate = DataCollatorWithPadding(tokenizer)
    return lambda **options: make_loader(data, collate, TrainConfig(**options))


@pytest.mark.parametrize("sampling", SAMPLINGS)
def test_an_epoch_shows_every_example_once_in_another_order_than_the_last(numbered, sampling):
    loader = numbered(sampling=sampling)
    first, second = rows_of(loader), rows_of(loader)
    for epoch in (first, second):
        assert sorted(row for rows in epoch for row in rows) == list(range(90))
    assert first != second
    assert {frozenset(rows) for rows in first} != {frozenset(rows) for rows in second}


@pytest.mark.parametrize("sampling", SAMPLINGS)
def test_the_seed_decides_the_order(numbered, sampling):
    orders = [[rows_of(loader) for _ in range(2)] for loader in (numbered(sampling=sampling) for _ in range(2))]
    assert orders[0] == orders[1]
    assert rows_of(numbered(sampling=sampling, seed=7)) != orders[0][0]


@pytest.mark.parametrize("precision", ["no", "bf16"])
def test_the_same_seed_ends_in_the_same_weights(reviews, tokenizer, precision):
    data = tokenize(reviews.remove_columns("row").select(range(24)), tokenizer)
    collate = DataCollatorWithPadding(tokenizer)

    def weights(seed):
        set_seed(0)
        model = AutoModelForSequenceClassification.from_pretrained(KIT.model("encoder"), num_labels=5)
        train(model, data, collate=collate, config=TrainConfig(epochs=2, lr=3e-4, precision=precision, seed=seed))
        return torch.cat([weight.detach().flatten() for weight in model.parameters()])

    first = weights(1)
    assert torch.equal(first, weights(1)) and not torch.equal(first, weights(2))


def test_measuring_the_precision_leaves_no_trace(reviews, tokenizer):
    data = tokenize(reviews.remove_columns("row").select(range(16)), tokenizer)
    collate = DataCollatorWithPadding(tokenizer)

    def losses(precision):
        set_seed(0)
        model = AutoModelForSequenceClassification.from_pretrained(KIT.model("encoder"), num_labels=5)
        return train(model, data, collate=collate, config=TrainConfig(epochs=1, precision=precision)).losses

    assert losses("auto") in (losses("no"), losses("bf16"))


def test_a_precision_is_measured_on_what_goes_through_the_model_at_once_in_training(monkeypatch):
    tried = []
    monkeypatch.setattr(precisions, "MEASURED", {})
    monkeypatch.setattr(precisions, "try_step", lambda model, batch, precision: tried.append(batch))
    rows = Dataset.from_dict({"input_ids": [[2] * 512] * 16, "labels": [0, 1] * 8})
    config = TrainConfig(precision="auto", batch_size=16)
    precisions.choose_precision(load_classifier(KIT.model("stars")), rows, default_data_collator, config)
    assert tried and all(len(parts_of(batch)) == 1 and batch["input_ids"].shape[1] == 512 for batch in tried)


def test_half_precision_is_only_taken_where_it_saves_a_tenth(monkeypatch):
    clock = [0.0]
    monkeypatch.setattr("ftcourse.engine.precision.time.perf_counter", lambda: clock[0])

    def choose(half_seconds):
        def work(precision):
            clock[0] += half_seconds if precision == "bf16" else 1.0

        return faster_precision(work, torch.device("cpu"))

    assert [choose(seconds) for seconds in (0.5, 0.95, 1.0, 3.0)] == ["bf16", "no", "no", "no"]
