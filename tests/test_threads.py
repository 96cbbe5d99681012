"""Batches on cores of their own, and weights rounded once: the same answers, and nothing left behind."""

import gc
import threading

import numpy as np
import pytest
import torch
from transformers import AutoModelForSequenceClassification, DebertaV2Config, LlamaConfig

from ftcourse.engine import forward, half, threads
from ftcourse.engine.half import in_half
from ftcourse.engine.models import load_classifier, load_tokenizer
from ftcourse.inference import Predictor
from ftcourse.kit import Kit

TEXTS = [f"{start} {' and soup' * number}" for number in range(40) for start in ("Good", "Awful", "So so")]


@pytest.fixture(scope="module")
def tokenizer():
    return load_tokenizer(Kit().model("stars"))


@pytest.fixture
def model():
    return load_classifier(Kit().model("stars")).eval()


@pytest.fixture
def two_cores():
    torch.set_num_threads(2)


def ahead_threads() -> list[str]:
    return [one.name for one in threading.enumerate() if one.name.startswith("ahead")]


@pytest.mark.parametrize("error", [KeyboardInterrupt, ValueError, MemoryError])
def test_whatever_happens_no_thread_is_left(error):
    def work(item):
        if item == 3:
            raise error
        return item, threading.current_thread().name

    seen = []
    with pytest.raises(error), threads.ahead(work, range(9)) as found:
        for item, name in found:
            seen.append(item)
            assert name.startswith("ahead") and ahead_threads()
    assert seen == [0, 1, 2] and not ahead_threads()
    with pytest.raises(error), threads.ahead(lambda item: item, range(9)) as found:  # where the model fails
        for item in found:
            if item == 4:
                raise error
    assert not ahead_threads()


@pytest.mark.parametrize("precision", ["no", "bf16"])
def test_batches_at_the_same_time_give_the_answers_of_one_after_the_other(
    precision, model, tokenizer, two_cores, monkeypatch
):
    apart, used = forward.apart, []
    monkeypatch.setattr(forward, "apart", lambda *given: used.append(given[2]) or apart(*given))
    predictor = Predictor(model, tokenizer, precision=precision)
    found = predictor.predict(TEXTS).probabilities
    assert used == [2] and torch.get_num_threads() == 2 and not ahead_threads()
    monkeypatch.setattr(forward, "batches_at_once", lambda model: 1)
    expected = predictor.predict(TEXTS).probabilities
    assert used == [2] and np.allclose(found, expected, atol={"no": 1e-5, "bf16": 0.05}[precision])


def test_many_cores_are_shared_out_among_eight_batches():
    torch.set_num_threads(16)
    assert threads.batches_at_once(torch.nn.Linear(1, 1)) == 8
    with threads.apart(lambda item: torch.get_num_threads(), range(9), 8) as found:
        assert [*found] == [2] * 9


def test_a_thread_that_comes_later_has_all_cores_again(two_cores):
    with threads.apart(lambda item: torch.get_num_threads(), range(4), 2) as found:
        assert [*found] == [1] * 4
    later = []
    thread = threading.Thread(target=lambda: later.append(torch.get_num_threads()))
    thread.start()
    thread.join()
    assert later == [2] and torch.get_num_threads() == 2


def test_what_goes_wrong_in_one_core_is_told_and_leaves_all_as_it_was(model, tokenizer, two_cores):
    model.resize_token_embeddings(10)  # so that most tokens have no vector
    with pytest.raises(IndexError):
        Predictor(model, tokenizer, precision="bf16").predict(TEXTS)
    assert torch.get_num_threads() == 2 and not ahead_threads()
    assert not any(part._forward_hooks for part in model.modules())


def test_whoever_listens_hears_one_batch_after_the_other(model, tokenizer, two_cores):
    assert threads.batches_at_once(model) == 2
    heard = []
    model.register_forward_hook(lambda *_: heard.append(threading.current_thread() is threading.main_thread()))
    assert threads.batches_at_once(model) == 1
    Predictor(model, tokenizer).predict(TEXTS * 3)
    assert len(heard) > 1 and all(heard)


def test_a_compiled_model_and_one_core_work_on_one_batch(model):
    torch.set_num_threads(1)
    assert threads.batches_at_once(model) == 1
    torch.set_num_threads(2)
    assert threads.batches_at_once(torch.compile(model, backend="eager")) == 1
    assert threads.batches_at_once(model) == 2
    model.bert.compile(backend="eager")
    assert threads.batches_at_once(model) == 1


@pytest.mark.parametrize(("kind", "number"), [("default", 2), ("dynamic", 1), ("longrope", 1)])
def test_positions_that_go_by_the_length_of_a_batch_are_for_one_batch(kind, number, two_cores):
    sizes = {"vocab_size": 9, "hidden_size": 8, "num_hidden_layers": 1, "num_attention_heads": 2}
    positions = {"rope_type": kind, "rope_theta": 1e4, "factor": 2.0, "original_max_position_embeddings": 16}
    positions |= {"short_factor": [1.0, 1.0], "long_factor": [2.0, 2.0]}
    config = LlamaConfig(**sizes, intermediate_size=8, max_position_embeddings=32, rope_parameters=positions)
    assert threads.batches_at_once(AutoModelForSequenceClassification.from_config(config)) == number


def test_weights_rounded_once_answer_as_a_model_in_half_precision_and_leave_it_as_it_was(model, tokenizer):
    batch = tokenizer(TEXTS[:3], return_tensors="pt", padding=True)
    assert half.large_tables(model)  # which are not rounded whole
    with torch.inference_mode():
        exact = model(**batch).logits
        found = in_half(model, lambda answer: answer(**batch).logits)
        assert found.dtype == torch.bfloat16 and model(**batch).logits.equal(exact)
        assert torch.allclose(found, model.to(torch.bfloat16)(**batch).logits)
    assert not any(part._forward_hooks for part in model.modules())


def test_two_at_once_answer_in_half_precision_and_who_wants_all_bits_meanwhile_has_them(model, tokenizer):
    batch, begun, ended = tokenizer(TEXTS[:3], return_tensors="pt", padding=True), threading.Event(), threading.Event()
    with torch.inference_mode():
        exact = model(**batch).logits
    found = {}

    @torch.inference_mode()
    def first(answer):
        assert begun.wait(9)  # for the second one, which goes on when this one has ended
        found["meanwhile"], found["first"] = model(**batch).logits, answer(**batch).logits

    @torch.inference_mode()
    def second(answer):
        begun.set()
        assert ended.wait(9)
        found["second"] = answer(**batch).logits

    jobs = [threading.Thread(target=in_half, args=(model, work)) for work in (first, second)]
    for job in jobs:
        job.start()
    jobs[0].join()
    ended.set()
    jobs[1].join()
    assert found["meanwhile"].equal(exact)
    assert found["first"].dtype == torch.bfloat16 and found["first"].equal(found["second"])
    assert all(type(one) is torch.nn.Parameter and one.dtype == torch.float32 for one in model.parameters())


@pytest.mark.parametrize("choice", ["no", "bf16"])
def test_rounded_weights_that_were_only_for_measuring_are_let_go(choice, model, tokenizer, monkeypatch):
    monkeypatch.setattr(forward, "faster_precision", lambda work, device: (work("no"), work("bf16"), choice)[2])
    predictor = Predictor(model, tokenizer, precision="auto")
    predictor.predict(TEXTS[:2])
    assert predictor.precision == choice and (model in half.KEPT) == (choice == "bf16")


def step(model) -> None:
    """One of the fused optimizer, which PyTorch does not count as a change."""
    model(input_ids=torch.tensor([[2, 9, 3]]), labels=torch.tensor([1])).loss.backward()
    torch.optim.AdamW(model.parameters(), fused=True).step()
    model.zero_grad()


@torch.no_grad()
def one_number(model) -> None:
    model.classifier.weight[1, 7] += 1


CHANGES = {
    "a step": step,
    "one number": one_number,
    "through .data": lambda model: model.classifier.weight.data.mul_(2),
    "other weights": lambda model: model.load_state_dict({name: 2 * w for name, w in model.state_dict().items()}),
    "another place": lambda model: setattr(model.classifier.weight, "data", model.classifier.weight.data * 2),
    "a new layer": lambda model: setattr(model, "classifier", torch.nn.Linear(384, 5)),
}


@pytest.mark.parametrize("change", CHANGES)
def test_weights_that_have_changed_are_rounded_again(change, model, tokenizer):
    predictor = Predictor(model, tokenizer, precision="bf16")
    before, kept = predictor.predict(TEXTS).probabilities, half.rounded(model)
    assert half.rounded(model) is kept
    CHANGES[change](model)
    found = predictor.predict(TEXTS).probabilities
    expected = Predictor(model, tokenizer).predict(TEXTS).probabilities
    assert half.rounded(model) is not kept
    assert 3 * np.abs(found - expected).mean() < np.abs(found - before).mean()


def test_rounded_weights_go_with_their_model():
    layer = torch.nn.Linear(4, 4)
    half.rounded(layer)
    number = len(half.KEPT)
    del layer
    gc.collect()
    assert len(half.KEPT) < number


class Strict(torch.nn.Linear):
    """A layer that wants its weights in 32 bits."""

    def forward(self, vectors: torch.Tensor) -> torch.Tensor:
        rows = torch.arange(len(self.weight))
        return super().forward(vectors) + 0 * torch.zeros(self.weight.shape).index_copy_(0, rows, self.weight).sum()


def test_a_model_that_wants_one_type_of_numbers_answers_in_mixed_precision(model, tokenizer):
    expected = Predictor(model, tokenizer).predict(TEXTS).probabilities
    strict = Strict(model.config.hidden_size, model.config.num_labels)
    strict.load_state_dict(model.classifier.state_dict())
    model.classifier = strict
    found = Predictor(model, tokenizer, precision="bf16").predict(TEXTS).probabilities
    assert 0 < np.abs(found - expected).max() < 0.05
    assert half.KEPT[model] is None  # and is not tried again
    assert np.array_equal(Predictor(model, tokenizer, precision="bf16").predict(TEXTS).probabilities, found)


def test_weights_in_two_places_are_answered_with_in_mixed_precision(monkeypatch):
    def rounded(model):  # as two graphics cards are answered
        raise RuntimeError("Expected all tensors to be on the same device, but found at least two devices")

    monkeypatch.setattr(half, "rounded", rounded)
    assert in_half(torch.nn.Linear(2, 1), lambda answer: answer(input=torch.ones(1, 2)).dtype) == torch.bfloat16


def test_a_deberta_answers_in_half_precision(tokenizer):
    torch.manual_seed(0)
    sizes = {"hidden_size": 16, "num_hidden_layers": 2, "num_attention_heads": 2, "intermediate_size": 32}
    sizes |= {"relative_attention": True, "pos_att_type": ["c2p", "p2c"], "max_position_embeddings": 64}
    config = DebertaV2Config(vocab_size=len(tokenizer), **sizes, initializer_range=0.3)
    model = AutoModelForSequenceClassification.from_config(config).eval()
    expected = Predictor(model, tokenizer).predict(TEXTS).probabilities
    found = Predictor(model, tokenizer, precision="bf16").predict(TEXTS).probabilities
    assert 0 < np.abs(found - expected).max() < 0.05
