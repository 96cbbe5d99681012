"""Any text at all: an answer, or an error in words, and never a crash."""

from functools import cache

import numpy as np
import pandas as pd
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from transformers import AutoTokenizer

from ftcourse.engine.cleaning import prepare
from ftcourse.engine.encodings import find_encoding
from ftcourse.inference import Predictor
from ftcourse.kit import Kit
from ftcourse.tokens import show_tokens
from tests.rows import plain_texts

ODD = [
    "\u202e",
    "\u200f",
    "\ud800",
    "\udfff",
    "\x00",
    "\r",
    "\n",
    '"',
    "'",
    ",",
    ";",
    "\t",
    "😀",
    "👩‍👩‍👧",
    "\ufeff",
    "مرحبا",
    "你好",
]
TEXTS = st.lists(st.sampled_from(ODD) | st.text(max_size=20) | st.characters(categories=["Cs"]), max_size=6).map(
    "".join
)
SLOW = settings(max_examples=60, deadline=None, suppress_health_check=list(HealthCheck))


@cache
def predictor() -> Predictor:
    return Predictor(Kit().model("sentiment"))


@SLOW
@given(st.lists(TEXTS, max_size=4))
def test_predict_answers_or_says_what_is_wrong(texts):
    try:
        answers = predictor().predict(texts)
    except ValueError as error:
        assert "half a character" in str(error)
        assert any("\ud800" <= character <= "\udfff" for text in texts for character in text)
    else:
        assert len(answers.labels) == len(texts) and np.isfinite(answers.probabilities).all()


@cache
def tokenizer_of_kit():
    return AutoTokenizer.from_pretrained(Kit().model("encoder"))


@SLOW
@given(TEXTS)
def test_show_tokens_answers_or_says_what_is_wrong(text):
    try:
        view = show_tokens(tokenizer_of_kit(), [text])
    except ValueError as error:
        assert "half a character" in str(error)
    else:
        assert "<script" not in view._repr_html_() and isinstance(repr(view), str)


@SLOW
@given(st.lists(st.tuples(TEXTS, TEXTS), max_size=8))
def test_a_csv_of_any_texts_is_read_or_refused_in_words(tmp_path_factory, rows):
    folder = tmp_path_factory.mktemp("rows")
    pd.DataFrame([[clean(text), clean(label)] for text, label in rows], columns=["review", "stars"]).to_csv(
        folder / "any.csv", index=False
    )
    try:
        found = prepare(folder / "any.csv", ["review", "stars"], "en", 0.5, 0, str(folder / "work"))
    except ValueError as error:
        assert "any.csv" in str(error) or "usable rows" in str(error)
    else:
        assert found.train.num_rows + found.valid.num_rows <= found.read


def clean(text: str) -> str:
    return text.encode("utf-8", "replace").decode()


@SLOW
@given(st.binary(max_size=300), st.sampled_from(["en", "ar", "zh", "zh-Hant"]))
def test_a_file_of_any_bytes_is_read_or_refused_in_words(tmp_path_factory, content, lang):
    folder = tmp_path_factory.mktemp("bytes")
    (folder / "any.csv").write_bytes(b"review,stars\n" + content)
    try:
        found = plain_texts(folder / "any.csv", ["review"], lang, str(folder / "work"))
    except ValueError as error:
        assert "any.csv" in str(error)
    else:
        assert found.column_names == ["text"]


@SLOW
@given(st.lists(st.tuples(TEXTS | st.none() | st.floats(), TEXTS | st.integers() | st.none()), max_size=8))
def test_a_data_frame_of_anything_is_read_or_refused_in_words(rows):
    frame = pd.DataFrame({name: pd.Series([row[n] for row in rows], dtype=object) for n, name in enumerate("ab")})
    try:
        found = prepare(frame, ["a", "b"], "en", 0.5, 0, "")
    except ValueError as error:
        assert "'table'" in str(error) or "usable rows" in str(error)
    else:
        assert len(found.names) >= 2


@pytest.mark.parametrize(
    "text", ["x" * 1_000_000, "سلام " * 200_000, "好" * 1_000_000, "😀" * 300_000, "\x00" * 1_000_000]
)
def test_a_megabyte_in_a_cell(tmp_path, text):
    frame = pd.DataFrame({"review": [text, "good"], "stars": ["a", "b"]})
    frame.to_csv(tmp_path / "long.csv", index=False)
    assert find_encoding(tmp_path / "long.csv", "en") == "utf-8"
    found = plain_texts(tmp_path / "long.csv", ["review"], "en", str(tmp_path / "work"))
    assert found.num_rows == 2 and found["text"][1] == "good"
    assert len(predictor().predict([text]).labels) == 1
