"""A card made from measured numbers: what it holds, and what it refuses. And a model without its tokenizer."""

import math

import pytest
from transformers import AutoModelForSequenceClassification, pipeline

from ftcourse.engine.checks import fill_gaps
from ftcourse.kit import Kit
from ftcourse.sharing import model_card

WHERE = {"dataset": "maha/exam", "split": "test", "rows": 200}


def card(text="Right: {accuracy} of {rows}", scores=None, **changed):
    return model_card("a", text, {"accuracy": 0.9154} if scores is None else scores, **(WHERE | changed))


def test_text_and_head_have_the_same_numbers():
    made = card(scores={"accuracy": 0.9154, "f1": 0.5}, license="mit")
    assert made.text.strip() == "Right: 0.915 of 200" and made.data.license == "mit"
    assert [(found.metric_type, found.metric_value) for found in made.data.eval_results] == [
        ("accuracy", 0.915),
        ("f1", 0.5),
    ]
    assert {(found.dataset_type, found.dataset_split) for found in made.data.eval_results} == {("maha/exam", "test")}


def test_other_braces_stay_as_they_are():
    assert fill_gaps('{"text": 1} { } {} {accuracy}', {"accuracy": 1.0}) == '{"text": 1} { } {} 1.000'


@pytest.mark.parametrize(
    ("changed", "words"),
    [
        ({"text": "Right: {recall}"}, "unknown number 'recall'; known: accuracy, rows"),
        ({"text": "Nearly always right."}, "no gap for a number.*{accuracy}, {rows}"),
        ({"text": None}, "text must be a str; got None"),
        ({"scores": {"accuracy": math.nan}}, "accuracy must be a number, 0 or more; got nan"),
        ({"scores": {"accuracy": "0.9"}}, "accuracy must be a number"),
        ({"rows": 0}, "rows must be a whole number, 1 or more; got 0"),
    ],
)
def test_what_cannot_be_a_card_is_refused(changed, words):
    with pytest.raises(ValueError, match=words):
        card(**changed)


def test_without_its_tokenizer_a_model_reads_nothing_and_says_nothing_of_it(tmp_path):
    AutoModelForSequenceClassification.from_pretrained(Kit().model("sentiment")).save_pretrained(tmp_path)
    tokenizer = pipeline("text-classification", model=str(tmp_path)).tokenizer
    assert {*tokenizer.tokenize("Two hours that nobody will give me back.")} == {tokenizer.unk_token}
