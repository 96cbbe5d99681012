"""Class weights: a mistake on a rare label costs more, in every process and however the rows come in batches."""

import numpy as np
import pandas as pd
import pytest
import torch
from datasets import Dataset
from sklearn.utils.class_weight import compute_class_weight
from torch.nn import functional as F
from transformers import AutoModelForSequenceClassification, DataCollatorWithPadding, set_seed
from typer.testing import CliRunner

from ftcourse.cli import app
from ftcourse.data import tokenize
from ftcourse.engine.models import load_tokenizer
from ftcourse.engine.report import load_report
from ftcourse.engine.weights import balanced_weights, weighted_loss
from ftcourse.finetune import finetune
from ftcourse.loop import TrainConfig, train
from tests.tiny import tiny_checkpoint


@pytest.fixture(scope="module")
def tiny(tmp_path_factory) -> str:
    return tiny_checkpoint(tmp_path_factory.mktemp("tiny"))


@pytest.fixture
def frame() -> pd.DataFrame:
    """Reviews, nine in ten of them good."""
    rows = [
        (f"{'bad' if n % 10 == 0 else 'good'} food, visit {n}", "bad" if n % 10 == 0 else "good") for n in range(200)
    ]
    return pd.DataFrame(rows, columns=["review", "stars"])


def test_weights_are_those_of_scikit_learn():
    labels = np.array([0] * 7 + [1] * 2 + [2])
    assert np.allclose(balanced_weights(labels, 3), compute_class_weight("balanced", classes=np.arange(3), y=labels))
    marks = np.array([[1.0, 0.0], [0.0, 0.0], [0.0, 0.0]])
    wanted = compute_class_weight("balanced", classes=np.arange(2), y=marks[:, 0].astype(int))
    assert np.allclose(balanced_weights(marks, 2), np.stack([wanted, [1, 1]], axis=1))


def test_the_weights_of_all_rows_come_to_one_on_average():
    labels = np.random.default_rng(0).integers(0, 4, size=100)
    assert balanced_weights(labels, 5)[labels].mean().item() == pytest.approx(1)


def test_a_weighted_loss_is_the_mean_of_weighted_losses():
    logits, labels, weights = torch.randn(5, 3), torch.tensor([0, 2, 1, 2, -100]), torch.tensor([1.0, 2.0, 0.5])
    each = F.cross_entropy(logits[:4], labels[:4], reduction="none") * weights[labels[:4]]
    assert torch.allclose(weighted_loss(logits, labels, weights), each.mean())
    assert torch.allclose(weighted_loss(logits, labels, torch.ones(3)), F.cross_entropy(logits, labels))
    marks, both = torch.tensor([[1.0, 0.0, 1.0]] * 5), torch.ones(2, 3)
    assert torch.allclose(weighted_loss(logits, marks, both), F.binary_cross_entropy_with_logits(logits, marks))


def trained(tiny, labels, **options):
    """The weights of a small model after an epoch."""
    set_seed(0)
    kind = "multi_label_classification" if isinstance(labels[0], list) else None
    model = AutoModelForSequenceClassification.from_pretrained(tiny, num_labels=2, problem_type=kind)
    tokenizer = load_tokenizer(tiny)
    data = tokenize(Dataset.from_dict({"text": ["good food"] * len(labels), "label": labels}), tokenizer, max_length=16)
    model.config.hidden_dropout_prob = model.config.attention_probs_dropout_prob = 0.0
    for module in model.modules():
        if isinstance(module, torch.nn.Dropout):
            module.p = 0.0
    config = TrainConfig(epochs=1, sampling="random", class_weights="balanced", **options)
    train(model, data, collate=DataCollatorWithPadding(tokenizer), config=config)
    return torch.cat([weight.detach().flatten() for weight in model.parameters()])


@pytest.mark.parametrize("labels", [[0, 0, 0, 1] * 2, [[1.0, 0.0], [0.0, 0.0], [0.0, 1.0], [0.0, 0.0]] * 2])
def test_a_step_is_the_same_in_one_batch_and_in_several(tiny, labels):
    whole = trained(tiny, labels, batch_size=8)
    assert torch.allclose(whole, trained(tiny, labels, batch_size=2, accumulation=4), atol=1e-6)


def test_weights_reach_a_rare_label_and_the_report_says_so(tiny, frame, tmp_path):
    reports, sure = {}, {}
    for kind in (None, "balanced"):
        options = {"model": tiny, "config": TrainConfig(epochs=1, batch_size=8, lr=2e-3, class_weights=kind)}
        tuned = finetune(frame, text="review", label="stars", output_dir=tmp_path / str(kind), **options)
        sure[kind] = tuned.predict(frame["review"]).probabilities[:, 0].mean()
        reports[kind] = load_report(tmp_path / str(kind))
    assert "--class-weights balanced" in str(reports[None]) and "--class-weights" not in str(reports["balanced"])
    assert "with class weights" in reports["balanced"].to_html() and "with class weights" in reports["balanced"].card()
    assert sure["balanced"] > sure[None] + 0.03


def test_a_stopped_training_with_weights_ends_in_the_same_weights(tiny, frame, tmp_path):
    config = TrainConfig(epochs=2, batch_size=16, save_steps=2, class_weights="balanced")
    options, asked = {"text": "review", "label": "stars", "model": tiny}, []

    def stop(prediction):
        asked.append(1)
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        finetune(frame, output_dir=tmp_path / "a", metrics=stop, config=config, **options)
    with pytest.raises(ValueError, match="begun with class_weights='balanced', not None"):
        other = TrainConfig(epochs=2, batch_size=16, save_steps=2)
        finetune(frame, output_dir=tmp_path / "a", resume=True, config=other, **options)
    resumed = finetune(frame, output_dir=tmp_path / "a", resume=True, config=config, **options)
    whole = finetune(frame, output_dir=tmp_path / "b", config=config, **options)
    pairs = zip(resumed.model.state_dict().values(), whole.model.state_dict().values(), strict=True)
    assert all(torch.equal(one, other) for one, other in pairs)


def test_labels_that_have_no_weights_are_refused(tiny):
    model = AutoModelForSequenceClassification.from_pretrained(tiny, num_labels=1, ignore_mismatched_sizes=True)
    data = Dataset.from_dict({"input_ids": [[2, 3]] * 4, "labels": [0.5, 1.0, 1.5, 2.0]})
    config, whole = TrainConfig(epochs=1, class_weights="balanced"), model.get_input_embeddings().weight
    with pytest.raises(ValueError, match="class_weights needs labels to count"):
        train(model, data, collate=DataCollatorWithPadding(load_tokenizer(tiny)), config=config)
    assert model.get_input_embeddings().weight is whole


def test_unknown_weights_are_refused_on_the_command_line(frame, tmp_path):
    frame.to_csv(tmp_path / "a.csv", index=False)
    words = ["finetune", tmp_path / "a.csv", "--text", "review", "--label", "stars", "--out", tmp_path / "out"]
    result = CliRunner().invoke(app, [*map(str, words), "--class-weights", "heavy"])
    assert result.exit_code == 2 and "unknown class weights 'heavy'; known: balanced" in result.output
