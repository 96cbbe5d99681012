"""Labels as people write them: joined, counted as gaps, put in order, and said."""

import unicodedata
from decimal import Decimal

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
from datasets import ClassLabel, Dataset
from hypothesis import given, settings
from hypothesis import strategies as st

from ftcourse.engine import labels as spellings
from ftcourse.engine.checks import LANGS
from ftcourse.engine.cleaning import prepare
from ftcourse.engine.labels import cell_parts, cell_separator, join_labels, label_key, label_order, number_values
from ftcourse.engine.messages import message
from ftcourse.engine.report import load_report
from ftcourse.finetune import finetune
from tests.tiny import FAST, tiny_checkpoint

COLUMNS = ["review", "stars"]
WRITTEN = st.text(st.characters(codec="utf-8") | st.sampled_from("1\u0661\uff11.,-+ \u200f\u200d\ufe0f\u0301nNaA;["))


@pytest.fixture(scope="module")
def tiny(tmp_path_factory) -> str:
    return tiny_checkpoint(tmp_path_factory.mktemp("tiny"))


def table(*labels, times: int = 6) -> pd.DataFrame:
    """A review for each of the labels, so many times."""
    every = [*labels] * times
    return pd.DataFrame({"review": [f"food, visit {number}" for number in range(len(every))], "stars": every})


def prepared(*labels, **options):
    return prepare(table(*labels, **options), COLUMNS, "en", 0.25, 0, "")


def notes(found) -> dict[str, dict]:
    return {entry["key"]: entry for entry in found.notes}


@pytest.mark.parametrize(
    ("written", "names"),
    [
        (["True", "TRUE", "true", "False"], ["False", "True"]),
        (["1", "1.0", "\uff11", "\u0661", "2"], ["1", "2"]),
        (["caf\xe9", "cafe\u0301", "bar"], ["bar", "caf\xe9"]),
        (["good", "good\u200f", "\ufeffgood", " good\xa0", "go\xadod", "bad"], ["bad", "good"]),
        (["\uff27\uff2f\uff2f\uff24", "GOOD", "BAD"], ["BAD", "\uff27\uff2f\uff2f\uff24"]),
        (
            ["\ufee3\ufeae\ufea3\ufe92\ufe8e", "\u0645\u0631\u062d\u0628\u0627", "x"],
            ["x", "\ufee3\ufeae\ufea3\ufe92\ufe8e"],
        ),
        (["1.5", "1,5", "1.50", "\u0661\u066b\u0665", "2"], ["1.5", "2"]),
        (["\u22121", "-1", "1"], ["\u22121", "1"]),
    ],
)
def test_one_label_however_it_is_written(written, names):
    found = prepared(*written)
    assert found.names == names
    said = notes(found)["joined"]["labels"]
    assert said.count("(6)") == len(written) - 1


def test_a_label_is_called_as_most_rows_have_it():
    frame = pd.concat([table("good", "bad"), table("good ", times=2).assign(review=["x", "y"])])
    found = prepare(frame, COLUMNS, "en", 0.25, 0, "")
    assert found.names == ["bad", "good"]
    assert notes(found)["joined"]["labels"] == "'good' = 'good' (6), 'good ' (2)"


def test_what_nobody_sees_is_said_as_a_code():
    said = notes(prepared("good", "good\u200f", "cafe\u0301", "caf\xe9"))["joined"]["labels"]
    assert "'good\\u200f'" in said and "'cafe\\u0301'" in said and "'caf\xe9'" in said


@pytest.mark.parametrize("label", ["01", "1a", "+1", "1-2", "Good", "1,000"])
def test_what_may_be_another_label_is_left_apart(label):
    assert len(prepared("1", "good", "10", label).names) == 4


def test_capitals_are_pointed_at():
    found = prepared("good", "Good", "bad")
    assert found.names == ["Good", "bad", "good"]
    assert notes(found)["capitals"]["labels"] == "'good', 'Good'"


@pytest.mark.parametrize(
    "word",
    ["nan", "NaN", "N/A", "n/a", "None", "NA", "-", "\u2014", "null", "#N/A", "<NA>", "NaT"]
    + ["#REF!", "#VALUE!", "#DIV/0!", "#NAME?", "#NUM!"],
)
def test_a_word_for_a_gap_is_a_gap_and_said(word):
    found = prepared("good", "bad", word)
    assert found.names == ["bad", "good"] and found.dropped["no_label"]["count"] == 6
    assert notes(found)["gaps"] == {"key": "gaps", "rows": 6, "words": f"'{word}' (6)"}


@pytest.mark.parametrize(("word", "other"), [("None", "spam"), ("-", "+"), ("NA", "EU")])
def test_what_only_looks_like_a_gap_is_pointed_at(word, other):
    found = prepared(word, other)
    assert sorted(found.names) == sorted([word, other])
    assert notes(found)["gap_label"]["label"] == word


def test_a_minus_beside_a_plus_is_a_label():
    assert prepared("+", "-", "0").names == ["+", "-", "0"]


def test_where_one_label_is_left_it_is_told_what_was_taken_for_a_gap():
    frame = table(*["None"] * 29, *["toxic"] * 10, "toxc", times=1)
    with pytest.raises(ValueError, match=r"have the label 'toxic'; expected two.* In 29 rows .* a gap: 'None' \(29\)"):
        prepare(frame, COLUMNS, "en", 0.25, 0, "")


def test_half_stars_are_in_order_in_a_file_and_in_a_data_frame(tmp_path):
    halves = [number / 2 for number in range(1, 22)]
    frame = table(*halves)
    wanted = [f"{half:g}" for half in halves]
    frame.to_csv(tmp_path / "a.csv", index=False)
    for rows in (frame, tmp_path / "a.csv", Dataset.from_pandas(frame), frame.astype({"stars": str})):
        found = prepare(rows, COLUMNS, "en", 0.25, 0, str(tmp_path / "work"))
        assert found.names == wanted and not found.notes


def test_the_gaps_of_a_class_label_are_gaps(tmp_path):
    rows = Dataset.from_pandas(table(0, 1, None)).cast_column("stars", ClassLabel(names=["no", "yes"]))
    found = prepare(rows, COLUMNS, "en", 0.25, 0, str(tmp_path))
    assert found.names == ["no", "yes"] and found.dropped["no_label"]["count"] == 6


@pytest.mark.parametrize(
    ("names", "separator"),
    [
        (["food", "food;service", "service"], ";"),
        (["food", "food|service", "service|price", "price"], "|"),
        (["\u98df\u7269", "\u98df\u7269\u3001\u670d\u52a1", "\u670d\u52a1"], "\u3001"),
        (["a", "a\u060c b", "b"], "\u060c"),
        (["a", "a, b", "b"], ","),
        (["1,2,3", "1", "2", "3,1"], ","),
        (['["a"]', '["a", "b"]', "[]"], "["),
        (["['a']", "['a', 'b']", "nan"], "["),
        (["('a',)", "('a', 'b')", "()"], "["),
        (["{'a'}", "{'b', 'a'}"], "["),
        (["(a)", "(a b)", "{}"], None),
        (["good", "bad"], None),
        (["Paris, France", "Lyon, France", "Berlin, Germany"], None),
        (["0,5", "1,5", "1"], None),
        (["yes, I do", "no, I do not"], None),
        (["[x]", "[y]"], None),
        ([], None),
    ],
)
def test_several_labels_in_a_cell_are_found(names, separator):
    assert cell_separator(names) == separator


@pytest.mark.parametrize(
    ("cell", "parts"),
    [
        ("['a' 'b'\n 'c']", ["a", "b", "c"]),
        ("['a, b' \"it's\"]", ["a, b", "it's"]),
        ("['a', 'b' 'c', ' \"d']", ["a", "b", "c", ' "d']),
        ("('a', 'b')", ["a", "b"]),
        ("{'b', 'a'}", ["a", "b"]),
        ('{"a": 1}', None),
        ("('a')", None),
    ],
)
def test_lists_are_read_as_programs_write_them(cell, parts):
    assert cell_parts(cell, "[") == parts


def test_what_only_looks_like_a_list_is_one_label():
    assert cell_parts("(0, 10)", "[") is None and cell_parts("('food', None)", "[") is None
    assert join_labels(["('food', None)", "(0, 10)", "good"], [1, 1, 1])[1] == ["('food', None)", "(0, 10)", "good"]


def test_numbers_of_other_programs_are_numbers():
    values, _ = number_values(["2.3e-05", "1E3", "2,5e+2", "1.23456789012e+12"], [1] * 4, {})
    assert values.tolist() == [2.3e-05, 1000, 250, 1.23456789012e12]
    for wrong in ("1e99", "e5", "1e", "1e5x"):
        with pytest.raises(ValueError, match="expected a number"):
            number_values([wrong], [1], {"name": "table", "columns": ["stars"]})


def test_decimals_are_labels(tmp_path):
    halves = [Decimal(number) / 2 for number in range(1, 4)]
    rows = table(*map(str, halves), times=8).assign(stars=pa.array(halves * 8, pa.decimal128(3, 1)).to_pylist())
    rows.to_parquet(tmp_path / "a.parquet")
    for source in (rows, tmp_path / "a.parquet"):
        assert prepare(source, COLUMNS, "en", 0.25, 0, str(tmp_path / "work")).names == ["0.5", "1", "1.5"]


def test_what_may_be_several_labels_is_pointed_at():
    assert notes(prepared("a;b", "c;d"))["joint"]["labels"] == "'a;b', 'c;d'"


def test_the_report_says_what_was_joined_and_left_out(tiny, tmp_path):
    frame = table("good", "good\u200f", "bad", "Bad", "nan")
    finetune(frame, text="review", label="stars", model=tiny, output_dir=tmp_path / "out", config=FAST)
    report = load_report(tmp_path / "out")
    for text in (str(report), report.card()):
        assert "'good' = 'good' (6), 'good\\u200f' (6)" in text and "word for a gap: 'nan' (6)" in text
        assert "differ only in capital letters" in text
    assert "differ only in capital letters" in report.to_html()


@pytest.mark.parametrize("lang", LANGS)
def test_every_note_is_there_in_every_language(lang):
    values = {"labels": "x", "label": "x", "words": "x", "rows": 3, "given": "x", "names": "x"}
    for key in ("joined", "gaps", "capitals", "gap_label", "joint", "several", "untold"):
        assert "x" in message(lang, "finetune", f"note.{key}", **values)


@settings(deadline=None)
@given(WRITTEN)
def test_a_key_is_the_key_of_itself_and_of_other_forms(text):
    key = label_key(text)
    assert label_key(key) == key
    assert label_key(f"\u200f {text}\ufeff\n") == key
    assert label_key(unicodedata.normalize("NFD", text)) == label_key(unicodedata.normalize("NFC", text))


@settings(deadline=None)
@given(st.lists(WRITTEN, unique=True, min_size=1))
def test_every_spelling_has_a_label_or_is_a_gap(names):
    numbers, joined, _ = join_labels(names, [1] * len(names))
    assert len({*joined}) == len(joined) and all(joined)
    assert {*numbers.tolist()} - {-1} == {*range(len(joined))}
    assert all(
        label_key(joined[number]) == label_key(name) for number, name in zip(numbers, names, strict=True) if number >= 0
    )
    assert sorted(label_order(joined)) == sorted(joined)


@given(st.lists(st.decimals(-1000, 1000, places=2), min_size=2, unique=True))
def test_numbers_are_in_their_order(numbers):
    ordered = [float(name) for name in label_order([str(number) for number in numbers])]
    assert ordered == sorted(ordered)


@settings(deadline=None, max_examples=30)
@given(st.lists(WRITTEN | st.none() | st.floats() | st.integers() | st.booleans() | st.lists(st.text()), max_size=12))
def test_labels_of_any_kind_are_used_or_refused_in_words(labels):
    frame = pd.DataFrame({"review": [f"food {number}" for number in range(len(labels))]})
    frame["stars"] = pd.Series(labels, dtype=object)
    try:
        found = prepare(frame, COLUMNS, "en", 0.5, 0, "")
    except ValueError as error:
        assert "'table'" in str(error) or "usable rows" in str(error)
    else:
        assert len(found.names) >= 2 and np.isfinite(found.train["label"][:]).all()


def test_many_different_labels_are_looked_through_in_one_list(monkeypatch):
    lists, real = {}, spellings.is_gap
    monkeypatch.setattr(spellings, "is_gap", lambda key, keys: real(key, lists.setdefault(id(keys), keys)))
    names = [*map(str, range(50))]
    join_labels(names, [1] * 50)
    number_values([*names, "nan", "N/A"], [1] * 52, {})
    assert len(lists) == 2
