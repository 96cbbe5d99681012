"""Answers beside the columns that they came with, from pipes and to pipes."""

import csv
import errno
import gzip
import io
import json
import os
import string
import subprocess
import sys
import time
from datetime import date, datetime
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from typer.testing import CliRunner

from ftcourse.cli import app
from ftcourse.engine import answers, formats
from ftcourse.engine.answers import Asked, Rows, Writer, answer_rows, cell_words, names_in, neutral, open_rows
from ftcourse.engine.checks import LANGS
from ftcourse.engine.messages import catalogue
from ftcourse.engine.shards import on_disk
from ftcourse.engine.tables import TableFile
from ftcourse.inference import Predictions, Predictor
from tests.tiny import tiny_checkpoint
from tools.settings import ROOT

RUNNER = CliRunner()
ENVIRONMENT = {**os.environ, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1", "PYTHONUTF8": "1"}


@pytest.fixture(scope="module")
def tiny(tmp_path_factory) -> str:
    return tiny_checkpoint(tmp_path_factory.mktemp("tiny"))


def ask(*words: object, code: int = 0, piped: bytes | None = None):
    """Call the command line, and want an exit code."""
    result = RUNNER.invoke(app, [str(word) for word in words], input=piped)
    assert result.exit_code == code, (result.output, result.exception)
    assert "Traceback" not in result.output
    return result


def predict(tiny, table, *more, text="review", code=0, piped=None) -> list[list[str]]:
    """The answers of the command line for a table, as rows of cells."""
    out = Path(tiny).parent / "answers.csv"
    out.unlink(missing_ok=True)
    ask("predict", tiny, table, *(["--text", text] if text else []), *more, "--out", out, code=code, piped=piped)
    return read(out.read_bytes().decode("utf-8-sig")) if not code else []


def read(text: str) -> list[list[str]]:
    return [*csv.reader(io.StringIO(text, newline=""))]


@pytest.fixture
def new(tmp_path):
    rows = [{"id": 900 - n, "date": f"2026-01-{n + 1:02}", "review": f"food {n}", "note, mine": ""} for n in range(10)]
    pd.DataFrame(rows).to_csv(tmp_path / "new.csv", index=False)
    return tmp_path / "new.csv"


# Columns that stay


@pytest.mark.parametrize(
    ("keep", "front"),
    [
        ([], ["review"]),
        (["id"], ["id", "review"]),
        (["date,id"], ["date", "id", "review"]),
        (["id", "date"], ["id", "date", "review"]),
        (["id\uff0c date"], ["id", "date", "review"]),
        (["review,id,id"], ["review", "id"]),
        (['"note, mine"'], ["note, mine", "review"]),
        (["all"], ["id", "date", "review", "note, mine"]),
    ],
)
def test_answers_keep_the_columns_that_they_are_asked_to(new, tiny, keep, front):
    head, *rows = predict(tiny, new, *(word for name in keep for word in ("--keep", name)))
    assert head == [*front, "label", "probability"]
    given_rows = pd.read_csv(new, dtype=str, keep_default_na=False)
    assert [row[: len(front)] for row in rows] == given_rows[front].to_numpy().tolist()
    assert all(row[-2:] != ["", ""] for row in rows)


def test_a_column_that_is_not_there_is_told_with_those_that_are(new, tiny):
    said = ask("predict", tiny, new, "--text", "review", "--keep", "ID", "--out", new.parent / "a.csv", code=2).output
    assert "has no column 'ID'; its columns: 'id', 'date', 'review', 'note, mine'" in " ".join(said.split())
    assert [path.name for path in new.parent.iterdir()] == ["new.csv"]


@pytest.mark.parametrize("more", [[], ["--keep", "all"]])
def test_a_text_column_named_label_makes_no_second_one(tmp_path, tiny, more):
    (tmp_path / "new.csv").write_text("label\nGood food.\n")
    head, row = predict(tiny, tmp_path / "new.csv", *more, text="label")
    assert head == ["label", "label (2)", "probability"] and row[0] == "Good food."


def test_answers_that_are_answered_again_have_no_two_columns_of_one_name(new, tiny, tmp_path):
    head, *_ = predict(tiny, new, "--keep", "all")
    first = (Path(tiny).parent / "answers.csv").rename(tmp_path / "first.csv")
    again, *_ = predict(tiny, first, "--keep", "all")
    assert again == [*head, "label (2)", "probability (2)"]


def test_a_name_that_is_there_twice_is_refused_and_all_of_them_get_numbers(tmp_path, tiny):
    (tmp_path / "new.csv").write_text("id,id,review\n1,2,Good.\n")
    words = ("predict", tiny, tmp_path / "new.csv", "--text", "review", "--out", tmp_path / "a.csv")
    assert "more than one column 'id'" in " ".join(ask(*words, "--keep", "id", code=2).output.split())
    head, row = predict(tiny, tmp_path / "new.csv", "--keep", "all")
    assert head[:3] == ["id", "id.1", "review"] and row[:3] == ["1", "2", "Good."]


def test_marks_that_nobody_sees_are_no_part_of_a_name(tmp_path, tiny):
    (tmp_path / "new.csv").write_text("\u200f id ,review\n7,Good.\n", encoding="utf-8")
    assert predict(tiny, tmp_path / "new.csv", "--keep", "id")[0][0] == "id"


def test_what_a_spreadsheet_would_calculate_is_harmless_in_what_is_kept_too(tmp_path, tiny):
    (tmp_path / "new.csv").write_text("=id,review\n=1+1,Good.\n-5,Bad.\n")
    assert [row[0] for row in predict(tiny, tmp_path / "new.csv", "--keep", "=id")] == ["'=id", "'=1+1", "-5"]
    raw = predict(tiny, tmp_path / "new.csv", "--keep", "=id", "--raw")
    assert [row[0] for row in raw] == ["=id", "=1+1", "-5"]


def test_values_of_every_type_are_written_as_they_were_read(tmp_path, tiny):
    table = {
        "review": ["Good.", "Bad."],
        "whole": pa.array([2**60, None], pa.int64()),
        "small": pa.array([0.1, None], pa.float32()),
        "when": pa.array([datetime(2026, 1, 2, 3, 4, 5), None], pa.timestamp("us")),
        "day": pa.array([date(2026, 1, 2), None]),
        "tags": pa.array([["a, b", "ش"], None]),
        "nested": pa.array([{"x": 1, "y": [True]}, None]),
        "yes": pa.array([True, False]),
    }
    pq.write_table(pa.table(table), tmp_path / "new.parquet")
    head, first, second = predict(tiny, tmp_path / "new.parquet", "--keep", "all")
    assert head[:-2] == [*table]
    nested = '{"x": 1, "y": [true]}'
    expected = ["Good.", str(2**60), "0.1", "2026-01-02 03:04:05", "2026-01-02", '["a, b", "ش"]', nested, "true"]
    assert first[:-2] == expected and second[:-2] == ["Bad.", "", "", "", "", "", "", "false"]
    records = [{"review": "Good.", "tags": ["a"], "n": 1, "half": 4.5, "no": None, "deep": {"id": "007"}}]
    (tmp_path / "new.json").write_text(json.dumps(records))
    head, row = predict(tiny, tmp_path / "new.json", "--keep", "all")
    assert dict(zip(head[:-2], row, strict=False)) == {
        "review": "Good.",
        "tags": '["a"]',
        "n": "1",
        "half": "4.5",
        "no": "",
        "deep.id": "007",
    }


def test_half_a_character_in_what_is_kept_is_written_as_its_code(tmp_path, tiny):
    records = [{"review": "Good.", "note": "so \ud83d", "tags": ["\udc00"]}, {"review": "Bad.", "note": "ش 😀"}]
    (tmp_path / "new.json").write_text(json.dumps(records))
    _, first, second = predict(tiny, tmp_path / "new.json", "--keep", "all")
    kept = ("Good.", "so \\ud83d", '["\\udc00"]')
    assert tuple(first[:3]) == kept and second[:2] == ["Bad.", "ش 😀"]
    rows = open_rows(Asked(TableFile(tmp_path / "new.json"), ["review"], keep=["all"]), str(tmp_path))
    assert on_disk(rows, str(tmp_path)).beside(0, 1) == [kept]


@pytest.mark.parametrize("kills", [1, pytest.param(20, marks=pytest.mark.long)])
def test_a_run_that_was_killed_goes_on_with_what_it_keeps(tmp_path, tiny, kills):
    size = 6000 * kills
    rows = pd.DataFrame({"id": range(size), "review": [f"=food {n}, and more" for n in range(size)]})
    rows.to_csv(tmp_path / "new.csv", index=False)
    words = ["predict", tiny, str(tmp_path / "new.csv"), "--text", "review", "--keep", "id", "--out"]
    command, done = [sys.executable, "-m", "ftcourse.cli", *words, str(tmp_path / "a.csv")], 0
    for _ in range(kills):
        process = subprocess.Popen(command, cwd=ROOT, env=ENVIRONMENT)
        while process.poll() is None and written_rows(tmp_path) <= done:
            time.sleep(0.005)
        process.kill()
        assert process.wait() != 0
        done = written_rows(tmp_path)
    assert 0 < done < size and not (tmp_path / "a.csv").exists()
    assert f"{size} rows" in ask(*words, tmp_path / "a.csv").output
    ask(*words, tmp_path / "whole.csv")
    assert (tmp_path / "a.csv").read_bytes() == (tmp_path / "whole.csv").read_bytes()
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a.csv", "new.csv", "whole.csv"]


def written_rows(folder: Path) -> int:
    """How far the run that writes into a folder has come."""
    counts = [json.loads(path.read_text(encoding="utf-8"))["rows"] for path in folder.glob(".a.csv.*[0-9a-f].json")]
    return max(counts, default=0)


# Pipes


def run(*words, piped: bytes = b"", code: int = 0):
    """The command line in a process of its own, with something in its pipe."""
    command = [sys.executable, "-m", "ftcourse.cli", *map(str, words)]
    done = subprocess.run(command, cwd=ROOT, env=ENVIRONMENT, input=piped, capture_output=True, check=False)
    assert done.returncode == code, done.stderr.decode()
    return done


def test_from_a_pipe_to_a_pipe(tiny, new):
    done = run("predict", tiny, "-", "--text", "review", "--keep", "id", "--out", "-", piped=new.read_bytes())
    assert b"\r" not in done.stdout and not done.stdout.startswith(b"\xef\xbb\xbf")
    assert read(done.stdout.decode()) == predict(tiny, new, "--keep", "id")
    assert done.stderr.decode().splitlines() == ["10 rows were read, 10 have an answer."]


TABLE = "id,review\n7,جيد جدا\n8,好吃\n"
JSON_LINES = '{"id": 7, "review": "جيد جدا"}\n{"id": 8, "review": "好吃"}\n'


@pytest.mark.parametrize(
    "piped",
    [
        TABLE.encode(),
        TABLE.replace("\n", "\r\n").encode("utf-8-sig"),
        TABLE.replace(",", "\t").encode("utf-16"),
        JSON_LINES.encode(),
        JSON_LINES.replace("\n", "\r\n").encode(),
    ],
)
def test_a_pipe_is_read_as_a_file_is(tiny, piped):
    rows = predict(tiny, "-", "--keep", "id", piped=piped)
    assert [row[:2] for row in rows] == [["id", "review"], ["7", "جيد جدا"], ["8", "好吃"]]


def test_an_excel_file_or_a_packed_one_may_come_through_a_pipe_too(tiny, tmp_path):
    pd.DataFrame({"id": [7], "review": ["Good."]}).to_excel(tmp_path / "a.xlsx", index=False)
    assert predict(tiny, "-", "--keep", "id", piped=(tmp_path / "a.xlsx").read_bytes())[1][:2] == ["7", "Good."]


def test_the_encoding_of_a_pipe_may_be_named(tiny):
    assert predict(tiny, "-", "--encoding", "cp1256", piped="review\nنعم\n".encode("cp1256"))[1][0] == "نعم"


@pytest.mark.parametrize(
    ("piped", "expected"),
    [
        (b"", "is empty"),
        (b"%PDF-1.7", "is PDF"),
        (b"other\nGood.\n", "has no column 'review'"),
        ("review\nقال".encode()[:-1] + b"\n", "byte"),
    ],
)
@pytest.mark.parametrize("out", ["file", "pipe"])
def test_what_is_wrong_with_a_pipe_is_told(tiny, tmp_path, piped, expected, out):
    target = "-" if out == "pipe" else tmp_path / "a.csv"
    result = ask("predict", tiny, "-", "--text", "review", "--out", target, code=2, piped=piped)
    assert expected in result.stderr and result.stdout == "" and not [*tmp_path.iterdir()]


def test_a_pipe_that_was_stopped_goes_on_where_the_same_comes_again(tiny, tmp_path, monkeypatch):
    piped = "".join(["review\n", *(f"food {n}\n" for n in range(2500))]).encode()
    words = ["predict", tiny, "-", "--text", "review", "--out"]
    ask(*words, tmp_path / "whole.csv", piped=piped)
    asked, answer = [], answers.answer_batch

    def stops(*batch):
        asked.append(1)
        if len(asked) == 2:
            raise KeyboardInterrupt
        return answer(*batch)

    monkeypatch.setattr(answers, "answer_batch", stops)
    ask(*words, tmp_path / "a.csv", code=1, piped=piped)
    ask(*words, tmp_path / "a.csv", piped=piped)
    assert len(asked) == 4 and (tmp_path / "a.csv").read_bytes() == (tmp_path / "whole.csv").read_bytes()
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a.csv", "whole.csv"]


@pytest.mark.parametrize("lines", [False, True])
def test_a_full_disk_is_told_as_that_when_a_packed_table_is_read(tiny, tmp_path, monkeypatch, lines):
    def full(*_):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(formats, "copy", full)
    (tmp_path / "a.csv.gz").write_bytes(gzip.compress(b"review\nGood.\n"))
    more = ["--lines"] if lines else ["--text", "review"]
    result = ask("predict", tiny, tmp_path / "a.csv.gz", *more, "--out", tmp_path / "a.csv", code=1)
    assert "make room there" in result.stderr and "mend the file" not in result.stderr


def test_a_model_that_may_not_be_read_is_told_as_that(tiny, new, tmp_path, monkeypatch):
    def refused(*_):
        raise PermissionError(errno.EACCES, "Permission denied")

    monkeypatch.setattr(answers, "bytes_hash", refused)
    result = ask("predict", tiny, new, "--text", "review", "--out", tmp_path / "a.csv", code=2)
    assert f"no model could be loaded from '{tiny}': Permission denied" in result.stderr
    assert [*tmp_path.iterdir()] == [new]


def test_a_pipe_that_nobody_reads_on_ends_quietly(tiny):
    words = ["predict", tiny, "-", "--lines", "--out", "-"]
    command = [sys.executable, "-m", "ftcourse.cli", *words]
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
    with subprocess.Popen(command, cwd=ROOT, env=ENVIRONMENT, **pipes) as process:
        process.stdin.write(b"Good food, and a lot of it.\n" * 6000)
        process.stdin.close()
        assert process.stdout.readline() == b"text,label,probability\n"
        process.stdout.close()
        assert process.wait(timeout=120) == 0 and process.stderr.read() == b""


# Lines of plain text


@pytest.mark.parametrize("end", ["\n", "\r\n"])
@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16"])
def test_a_text_a_line(tiny, end, encoding):
    lines = ["Good, really.", "", '"Bad', "text", "=1+1"]
    rows = predict(tiny, "-", "--lines", "--raw", text=None, piped=end.join(lines).encode(encoding))
    assert [row[0] for row in rows] == ["text", *lines]
    assert [bool(row[1]) for row in rows] == [True, True, False, True, True, True]
    assert predict(tiny, "-", "--lines", text="said", piped=b"Good.")[0][0] == "said"


@pytest.mark.parametrize(
    ("more", "expected"),
    [
        ([], "which column holds the texts?"),
        (["--lines", "--text", "a", "--text", "b"], "lines hold one text each"),
        (["--lines", "--keep", "id"], "has no column 'id'"),
        (["--lines", "--sheet", "a"], "is not an Excel file"),
    ],
)
def test_a_call_that_cannot_be_meant_is_told(tiny, tmp_path, more, expected):
    (tmp_path / "a.txt").write_text("Good.\n")
    result = ask("predict", tiny, tmp_path / "a.txt", *more, "--out", tmp_path / "b.csv", code=2)
    assert expected in " ".join(result.output.split())
    assert [path.name for path in tmp_path.iterdir()] == ["a.txt"]


@pytest.mark.parametrize("kind", ["xlsx", "parquet"])
def test_lines_are_not_looked_for_in_a_table(tiny, tmp_path, kind):
    frame, path = pd.DataFrame({"review": ["Good."]}), tmp_path / f"a.{kind}"
    frame.to_parquet(path) if kind == "parquet" else frame.to_excel(path, index=False)
    result = ask("predict", tiny, path, "--lines", "--out", tmp_path / "b.csv", code=2)
    assert "is a table, not a text in each line; leave out --lines" in result.stderr and "CSV" not in result.stderr


@pytest.mark.parametrize("lang", LANGS)
def test_the_help_speaks_of_pipes_and_columns(lang):
    words = catalogue(lang, "cli")
    assert "-" in words["table_or_pipe"] and "-" in words["out_file"] and "id,date" in words["keep"]


# Any table


class Echo:
    """A predictor whose answer tells which text it had."""

    def __init__(self, predictor):
        self.model = predictor.model

    def predict(self, texts):
        return Predictions([f"label of {text}" for text in texts], np.full((len(texts), 2), 0.5, np.float32))


LETTERS = st.text(st.characters(exclude_categories=["Cs", "Cc"]), max_size=8)
CELLS = st.one_of(LETTERS, st.text('",;\t\n\r=+-@ a\u0645\u597d', max_size=8))
VALUES = st.one_of(CELLS, st.integers(), st.floats(), st.booleans(), st.none(), st.lists(CELLS, max_size=2))
NAMES = st.lists(st.text(string.ascii_letters + "\u0645\u597d", min_size=1, max_size=5), unique=True, max_size=4)
QUICK = settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])


def answered(path: Path, rows: Rows, predictor) -> tuple[list[str], list[dict[str, str]]]:
    """The names and the rows that are written for a table."""
    with open(path, "w+", encoding="utf-8", newline="") as file:
        writer = Writer(file, raw=True)
        for _ in answer_rows(rows, Echo(predictor), writer):
            pass
        file.seek(0)
        head, *found = csv.reader(file)
    assert len({*head}) == len(head) and writer.counts["rows"] == len(found)
    return head, [dict(zip(head, row, strict=True)) for row in found]


@pytest.fixture(scope="module")
def predictor(tiny):
    return Predictor(tiny)


@QUICK
@given(names=NAMES, data=st.data())
def test_whatever_a_cell_holds_answers_join_their_rows_by_order_and_by_what_was_kept(
    names, data, predictor, tmp_path_factory
):
    names = [*dict.fromkeys(["key", *names, "review"])]
    size = data.draw(st.integers(1, 6))
    records = [
        {name: data.draw(VALUES) for name in names} | {"key": number, "review": f"text {number}"}
        for number in range(size)
    ]
    folder = tmp_path_factory.mktemp("any")
    (folder / "new.jsonl").write_text("".join(json.dumps(record) + "\n" for record in records), encoding="utf-8")
    rows = open_rows(Asked(TableFile(folder / "new.jsonl"), ["review"], keep=["all"]), str(folder))
    head, found = answered(folder / "out.csv", rows, predictor)
    label = next(name for name in head if name.startswith("label") and name not in names)
    for record, row in zip(records, found, strict=True):
        assert row[label] == f"label of {record['review']}" and row["key"] == str(record["key"])
        for name in names:
            assert row[name] == cell_words(json.loads(json.dumps(record[name])))


@QUICK
@given(names=NAMES, data=st.data(), separator=st.sampled_from(",;\t"))
def test_whatever_is_in_a_csv_stays_as_it_is(names, data, separator, predictor, tmp_path_factory):
    names = [*dict.fromkeys(["key", *names, "review"])]
    size = data.draw(st.integers(1, 6))
    records = [
        {name: data.draw(CELLS) for name in names} | {"key": str(number), "review": f"text {number}"}
        for number in range(size)
    ]
    folder = tmp_path_factory.mktemp("any")
    with open(folder / "new.csv", "w", encoding="utf-8-sig", newline="") as file:
        writer = csv.DictWriter(file, names, delimiter=separator)
        writer.writeheader()
        writer.writerows(records)
    rows = open_rows(Asked(TableFile(folder / "new.csv"), ["review"], keep=["all"]), str(folder))
    head, found = answered(folder / "out.csv", rows, predictor)
    assert [{name: row[name] for name in names} for row in found] == records
    label = next(name for name in head if name.startswith("label") and name not in names)
    assert [row[label] for row in found] == [f"label of {record['review']}" for record in records]


@given(st.lists(st.text(min_size=1), min_size=1))
def test_any_names_can_be_named(names):
    names = [name for name in names if name.strip() == name and name]
    quoted = ['"' + name.replace('"', '""') + '"' for name in names]
    assert names_in([",".join(quoted)]) == [*dict.fromkeys(names)]
    assert names_in(quoted) == [*dict.fromkeys(names)]


def test_labels_that_are_signs_stay_as_they_are(tmp_path, tiny):
    (tmp_path / "new.csv").write_text("mark,review\n+,Good.\n-,Bad.\n")
    assert [row[0] for row in predict(tiny, tmp_path / "new.csv", "--keep", "mark")] == ["mark", "+", "-"]


@given(CELLS)
def test_a_harmless_cell_is_the_cell_or_has_an_apostrophe_more(cell):
    assert neutral(cell) in (cell, f"'{cell}")
