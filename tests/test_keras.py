"""Chapter 10 where the notebook is no place for it: what is missing, what is wrong, what `fit` leaves behind."""

import copy
import os
import subprocess
import sys

import numpy as np
import pytest
import torch
from datasets import Dataset
from transformers import DataCollatorWithPadding

from ftcourse.engine.backend import keras_on_torch
from ftcourse.engine.messages import message, use_language
from ftcourse.engine.models import load_classifier, load_tokenizer
from ftcourse.keras import KerasClassifier, ScoreCallback, adamw, batches, keras
from ftcourse.kit import Kit
from ftcourse.loop import TrainConfig, train
from tools.settings import ROOT, languages

TEXTS = ["Good.", "A long and tedious evening, all in all.", "Bad soup.", "Lovely people, we will be back."] * 3
NO_KERAS = """
import sys
class Missing:
    def find_spec(self, name, path=None, target=None):
        if name == "keras":
            raise ModuleNotFoundError("No module named 'keras'", name="keras")
sys.meta_path.insert(0, Missing())
"""


@pytest.fixture(scope="module")
def tokenizer():
    return load_tokenizer(Kit().model("sentiment"))


@pytest.fixture
def model():
    model = load_classifier(Kit().model("sentiment"))
    for module in model.modules():
        if isinstance(module, torch.nn.Dropout):
            module.p = 0.0
    return model


@pytest.fixture(scope="module")
def data(tokenizer):
    return Dataset.from_dict({**tokenizer(TEXTS), "labels": [1, 0, 0, 1] * 3})


@pytest.fixture(scope="module")
def collate(tokenizer):
    return DataCollatorWithPadding(tokenizer)


def compiled(model, num_steps=4):
    classifier = KerasClassifier(model)
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    classifier.compile(optimizer=adamw(1e-4, num_steps), loss=loss, metrics=["accuracy"])
    return classifier


def answers_of(model, data, collate) -> np.ndarray:
    return KerasClassifier(model).predict(batches(model, data, collate), verbose=0)


def last_line(code: str, lang: str) -> str:
    """The last line of what Python says on its error output, in a fresh process of a reader of this language."""
    env = {**os.environ, "FTCOURSE_LANG": lang, "PYTHONPATH": str(ROOT), "PYTHONIOENCODING": "utf-8"}
    env.pop("KERAS_BACKEND", None)
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, env=env, encoding="utf-8")
    assert run.returncode == 1
    return run.stderr.strip().splitlines()[-1]


@pytest.mark.parametrize(
    "lang", ["zh", *(pytest.param(lang, marks=pytest.mark.long) for lang in languages() if lang != "zh")]
)
def test_without_keras_one_line_says_how_to_get_it(lang):
    said = message(lang, "errors", "no_keras", reason="No module named 'keras'")
    assert 'pip install "keras>=3.12"' in said
    assert last_line(f"{NO_KERAS}\nimport ftcourse.keras", lang) == f"ImportError: {said}"


def test_the_language_of_a_lesson_counts_before_that_of_the_variable():
    code = f'{NO_KERAS}\nfrom ftcourse.engine.lesson import begin\nbegin("ar", "10_keras")\nimport ftcourse.keras'
    assert message("ar", "errors", "no_keras", reason="No module named 'keras'") in last_line(code, "zh")


def test_another_backend_is_told_in_one_line(monkeypatch):
    """As where somebody has imported Keras on JAX before; no other backend is installed here."""
    monkeypatch.setattr(keras.backend, "backend", lambda: "jax")
    use_language("zh")
    with pytest.raises(ImportError) as error:
        keras_on_torch()
    assert str(error.value) == message("zh", "errors", "keras_backend", given="jax")


def test_the_backend_is_set_whatever_the_environment_says():
    code = "import ftcourse.keras as k; assert k.keras.backend.backend() == 'torch'"
    subprocess.run([sys.executable, "-c", code], check=True, env={**os.environ, "KERAS_BACKEND": "jax"}, cwd=ROOT)


def test_fit_makes_the_steps_of_train(model, data, collate):
    """The same rows in the same order in each epoch, at the same rates: the same answers, but for rounding.

    The logits move by 3, and end 0.015 apart. Another order of the second epoch or a slower schedule makes it 0.27.
    """
    start, other = answers_of(model, data, collate), copy.deepcopy(model)
    classifier = compiled(model)
    classifier.evaluate(batches(model, data, collate, 6), verbose=0)
    classifier.fit(batches(model, data, collate, 6, shuffle=True, seed=7), epochs=2, shuffle=False, verbose=0)
    train(other, data, collate=collate, config=TrainConfig(epochs=2, batch_size=6, lr=1e-4, seed=7))
    first, second = answers_of(model, data, collate), answers_of(other, data, collate)
    assert np.abs(first - start).max() > 0.3 and np.abs(first - second).max() < 0.05


def test_batches_leave_out_columns_that_the_model_does_not_take(model, data, collate):
    loader = batches(model, data.add_column("text", TEXTS), collate, 5)
    inputs, labels = next(iter(loader))
    assert "text" not in inputs and "labels" not in inputs and labels.tolist() == data["labels"][:5]


def test_what_cannot_be_used_is_told(model, data, collate):
    wrong = data.remove_columns("labels").add_column("labels", [7] * len(data))
    with pytest.raises(ValueError, match=r"data\['labels'\]\[0\] is 7"):
        batches(model, wrong, collate)
    with pytest.raises(ValueError, match="batch_size must be a whole number"):
        batches(model, data, collate, 0)
    with pytest.raises(ValueError, match="expected a loaded model, got a str"):
        KerasClassifier("bert")
    with pytest.raises(ValueError, match="loader must be a DataLoader"):
        ScoreCallback([1], len)
    with pytest.raises(ValueError, match="metrics must be a Callable; got None"):
        ScoreCallback(batches(model, data, collate), None)
    with pytest.raises(ValueError, match="num_steps must be a whole number, 1 or more; got 0"):
        adamw(3e-4, 0)


def test_a_score_belongs_to_all_rows_in_whatever_order(model, data, collate):
    seen = []
    loader = batches(model, data, collate, 5, shuffle=True)
    callback = ScoreCallback(loader, lambda prediction: seen.append(prediction) or {"rows": len(prediction.label_ids)})
    classifier = compiled(model)
    callback.set_model(classifier)
    logs = {}
    callback.on_epoch_end(0, logs)
    answers = seen[0].predictions.argmax(axis=1)
    expected = classifier.predict(batches(model, data, collate, 5), verbose=0).argmax(axis=1)
    assert logs == {"val_rows": 12.0}
    assert sorted(zip(answers, seen[0].label_ids, strict=True)) == sorted(zip(expected, data["labels"], strict=True))


def test_early_stopping_brings_the_best_weights_back(model, data, collate):
    """By a score that only falls, the best epoch is the first."""
    scores, kept = iter([0.9, 0.5, 0.4, 0.3]), {}

    class Keep(keras.callbacks.Callback):
        def on_epoch_end(self, epoch, logs=None):
            kept.setdefault("weights", {name: weight.clone() for name, weight in model.state_dict().items()})

    loader = batches(model, data, collate, 6, shuffle=True)
    stopping = keras.callbacks.EarlyStopping("val_f1", mode="max", patience=1, restore_best_weights=True)
    watch = [ScoreCallback(loader, lambda prediction: {"f1": next(scores)}), Keep(), stopping]
    history = compiled(model, 100).fit(loader, epochs=4, callbacks=watch, shuffle=False, verbose=0).history
    assert history["val_f1"] == [0.9, 0.5]
    assert all(torch.equal(weight, kept["weights"][name]) for name, weight in model.state_dict().items())


def test_what_keras_writes_holds_no_pickle(model, data, collate, tmp_path):
    classifier = compiled(model)
    with pytest.raises(NotImplementedError):
        classifier.save(tmp_path / "films.keras")
    assert not (tmp_path / "films.keras").exists() or not (tmp_path / "films.keras").stat().st_size
    classifier.save_weights(tmp_path / "films.weights.h5")
    other = load_classifier(Kit().model("sentiment"))
    with torch.no_grad():
        other.classifier.weight.zero_()
    again = KerasClassifier(other)
    again.load_weights(tmp_path / "films.weights.h5")
    first, second = (one.predict(batches(model, data, collate), verbose=0) for one in (classifier, again))
    assert np.allclose(first, second, atol=1e-5)
