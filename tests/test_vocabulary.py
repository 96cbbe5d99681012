"""Training only the rows of the vocabulary that occur: the same weights as plain AdamW on all of them."""

import numpy as np
import pytest
import torch
from accelerate.utils import DistributedType
from datasets import Dataset
from transformers import (
    BertConfig,
    BertForSequenceClassification,
    DataCollatorWithPadding,
    RobertaConfig,
    RobertaForSequenceClassification,
    set_seed,
)

from ftcourse.engine import run
from ftcourse.engine.models import load_tokenizer
from ftcourse.engine.optimizers import limit_norm
from ftcourse.engine.vocabulary import MOST_ROWS, Vocabulary, tokens_of, vocabulary_of
from ftcourse.kit import Kit
from ftcourse.loop import TrainConfig, evaluate, train
from tests.tiny import same_weights

SMALL = {"hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 2, "intermediate_size": 64, "num_labels": 3}
COLLATE = DataCollatorWithPadding(load_tokenizer(Kit().model("encoder")))


def rows(count: int = 40, first: int = 10, last: int = 60) -> Dataset:
    draw = np.random.default_rng(first)
    ids = [draw.integers(first, last, size=draw.integers(3, 9)).tolist() for _ in range(count)]
    return Dataset.from_dict({"input_ids": ids, "labels": [sum(row) % 3 for row in ids]})


def bert(**options) -> BertForSequenceClassification:
    set_seed(0)
    return BertForSequenceClassification(BertConfig(vocab_size=200, **SMALL, **options))


def roberta() -> RobertaForSequenceClassification:
    set_seed(0)
    return RobertaForSequenceClassification(RobertaConfig(vocab_size=200, pad_token_id=1, **SMALL))


@pytest.fixture
def all_rows(monkeypatch):
    return lambda: monkeypatch.setattr(run, "vocabulary_of", lambda *_: None)


@pytest.mark.parametrize("make", [bert, roberta])
def test_ends_in_the_weights_of_plain_training(make, all_rows):
    config = TrainConfig(epochs=2, batch_size=4, lr=1e-2, clip=0.1)
    trained = {}
    for name in ("occurring", "all"):
        if name == "all":
            all_rows()
        model = make()
        before = model.get_input_embeddings().weight.detach().clone()
        history = train(model, rows(), rows(9, 30, 190), collate=COLLATE, config=config)
        trained[name] = model.state_dict(), history
    (ours, history), (plain, same) = trained.values()
    assert [*ours] == [*plain]
    for name, tensor in ours.items():
        torch.testing.assert_close(tensor, plain[name], rtol=1e-5, atol=1e-6)
    assert history.losses == pytest.approx(same.losses, rel=1e-5)
    assert history.metrics[-1]["loss"] == pytest.approx(same.metrics[-1]["loss"], rel=1e-5)
    moved = (ours[next(name for name in ours if "word_embeddings" in name)] != before).any(dim=1)
    assert 30 < moved.sum() <= 50 and not moved[100:].any()


def test_a_callback_sees_the_whole_model(tmp_path):
    seen = []

    def callback(model, _):
        model.save_pretrained(tmp_path)
        saved, tokens = BertForSequenceClassification.from_pretrained(tmp_path), torch.tensor([[150, 199]])
        assert same_weights(saved, model)
        seen.append(saved(tokens).logits)
        torch.testing.assert_close(seen[-1], model.eval()(tokens).logits)

    model = bert()
    train(model, rows(), collate=COLLATE, config=TrainConfig(epochs=2, lr=1e-2), callbacks=[callback])
    assert len(seen) == 2 and not torch.equal(*seen)
    evaluate(model, rows(5, 100, 200), collate=COLLATE)


@pytest.mark.parametrize("where", ["in mid-epoch", "after an epoch"])
def test_goes_on_after_a_stop_with_the_same_weights(tmp_path, where):
    config = TrainConfig(epochs=3, batch_size=4, lr=1e-2, save_steps=3)
    whole = bert()
    train(whole, rows(), collate=COLLATE, config=config)
    stopped, options, calls = bert(), {}, []

    def stop(*_):
        calls.append(1)
        if where == "after an epoch" or len(calls) == 17:
            raise KeyboardInterrupt

    if where == "after an epoch":
        options["callbacks"] = [stop]
    else:
        stopped.register_forward_pre_hook(stop)
    with pytest.raises(KeyboardInterrupt):
        train(stopped, rows(), collate=COLLATE, config=config, output_dir=tmp_path / "run", **options)
    assert stopped.get_input_embeddings().weight.shape == (200, 32)
    again = bert()
    train(again, rows(), collate=COLLATE, config=config, output_dir=tmp_path / "run", resume=True)
    for name, tensor in whole.state_dict().items():
        assert torch.equal(tensor, again.state_dict()[name]), name


def test_a_start_that_is_stopped_leaves_the_whole_model(monkeypatch):
    def stop(model, *_):
        assert len(model.get_input_embeddings().weight) < 200
        raise KeyboardInterrupt

    monkeypatch.setattr(run, "make_optimizer", stop)
    model = bert()
    layer, whole = model.get_input_embeddings(), model.get_input_embeddings().weight
    with pytest.raises(KeyboardInterrupt):
        train(model, rows(), collate=COLLATE)
    assert layer.weight is whole and not layer._forward_pre_hooks


def test_leaves_alone_what_it_cannot_improve():
    data, kind = rows(), DistributedType.NO
    assert isinstance(vocabulary_of(bert(), data, COLLATE, kind), Vocabulary)
    assert vocabulary_of(bert(), data, COLLATE, DistributedType.FSDP) is None
    assert vocabulary_of(bert(), data, lambda some: COLLATE(some), kind) is None
    assert vocabulary_of(bert(), rows(200, 2, 200), COLLATE, kind) is None
    assert vocabulary_of(bert(), data.add_column("more", [[1]] * len(data)), COLLATE, kind) is None
    frozen = bert()
    frozen.get_input_embeddings().requires_grad_(False)
    assert vocabulary_of(frozen, data, COLLATE, kind) is None
    tied = bert()
    tied.classifier.weight = tied.get_input_embeddings().weight
    assert vocabulary_of(tied, data, COLLATE, kind) is None
    huge = Dataset.from_dict({"input_ids": [[5]] * (MOST_ROWS + 1)})
    assert vocabulary_of(bert(), huge, COLLATE, kind) is None


def test_reads_the_tokens_of_nested_and_chosen_rows():
    nested = Dataset.from_dict({"input_ids": [[[2, 3], [4]], [[9]]]})
    assert tokens_of(nested, 12).tolist() == [2, 3, 4, 9]
    assert tokens_of(rows().select([3, 1]), 100).tolist() == sorted({*rows()[3]["input_ids"], *rows()[1]["input_ids"]})


def test_a_token_that_was_not_announced_is_an_error_and_no_other_token():
    layer = torch.nn.Embedding(9, 4)
    vocabulary = Vocabulary(layer, np.array([2, 3]))
    vocabulary.enter()
    with pytest.raises(IndexError):
        layer(torch.tensor([5]))


@pytest.mark.parametrize("most", [0.01, 1e3])
def test_a_fused_step_goes_by_shortened_gradients(most):
    def stepped(fused: bool) -> torch.Tensor:
        torch.manual_seed(0)
        layer = torch.nn.Linear(3, 2)
        optimizer = torch.optim.AdamW(layer.parameters(), lr=0.1, fused=fused, eps=0.1)
        for _ in range(3):
            layer(torch.ones(4, 3)).square().sum().backward()
            limit_norm(optimizer, most)
            optimizer.step()
            optimizer.zero_grad()
        return layer.weight.detach()

    torch.testing.assert_close(stepped(True), stepped(False))
