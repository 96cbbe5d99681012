"""Tables in all the shapes that people have: read, or refused with the cause."""

import bz2
import errno
import gzip
import json
import lzma
import os
import re
import tarfile
import zipfile

import pandas as pd
import pytest
from datasets import Dataset
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from typer.testing import CliRunner

from ftcourse.cli import app
from ftcourse.engine import formats
from ftcourse.engine.calls import call_of
from ftcourse.engine.cleaning import prepare
from ftcourse.engine.folders import sync
from ftcourse.engine.messages import CATALOGUES, speaking
from ftcourse.engine.tables import TableFile
from ftcourse.finetune import finetune
from ftcourse.loop import TrainConfig
from tests.rows import plain_texts
from tests.tiny import FAST, tiny_checkpoint

LANGS = ("en", "ar", "zh", "zh-Hant")
TEXTS = [f"{word} food, visit {n}" for n in range(20) for word in ("good", "bad")]
LABELS = ["good", "bad"] * 20
CSV = "review,stars\n" + "".join(f'"{text}",{label}\n' for text, label in zip(TEXTS, LABELS, strict=True))
SLOW = settings(max_examples=80, deadline=None, suppress_health_check=list(HealthCheck))


@pytest.fixture(scope="module")
def tiny(tmp_path_factory) -> str:
    return tiny_checkpoint(tmp_path_factory.mktemp("tiny"))


@pytest.fixture
def read(tmp_path):
    """Writes a file and gives the texts in it."""

    def texts(name: str, content: str | bytes, column: str = "review", **how) -> list[str]:
        path = tmp_path / name
        path.write_bytes(content.encode() if isinstance(content, str) else content)
        return plain_texts(TableFile(path, **how), [column], "en", str(tmp_path / "work"))["text"][:]

    return texts


HEADERS = {
    "blanks": " review ,\tstars ",
    "wide blanks": "\u3000review\u3000,\u00a0stars",
    "an invisible mark": "review\u200f,\u200fstars",
    "marks of direction": "\u202breview\u202c,stars",
    "a mark within quotes": '"\ufeffreview","stars"',
    "no width": "re\u200bview,stars",
}


@pytest.mark.parametrize("header", HEADERS.values(), ids=HEADERS)
def test_a_column_is_found_whatever_clings_to_its_name(read, header):
    content = CSV.replace("review,stars", header)
    assert read("a.csv", content) == TEXTS == read("a.csv", content, column=" review\u200e")


def test_the_very_name_is_taken_before_one_that_looks_like_it(read):
    assert read("a.csv", "review, review\nGood.,Bad.\n") == ["Good."]
    assert read("a.csv", "review, review\nGood.,Bad.\n", column=" review") == ["Bad."]


@pytest.mark.parametrize("header", ["review,stars,review", "review ,stars, review"])
def test_a_name_that_is_there_twice_is_refused(read, header):
    with pytest.raises(ValueError, match=r"'a.csv' has more than one column 'review' \(2\), .*its? "):
        read("a.csv", f"{header}\nGood.,1,Bad.\n")


def test_other_names_may_be_there_twice(read):
    assert read("a.csv", "note,review,note,,\n1,Good.,2,3,4\n") == ["Good."]


@pytest.mark.parametrize("lang", LANGS)
def test_a_missing_row_of_names_is_told_in_the_language(tmp_path, lang):
    (tmp_path / "a.csv").write_text(CSV.split("\n", 1)[1])
    first = json.loads((CATALOGUES / lang / "errors.json").read_text(encoding="utf-8"))["no_header"]
    with speaking(lang), pytest.raises(ValueError) as error:
        plain_texts(tmp_path / "a.csv", ["review"], lang, str(tmp_path / "work"))
    listed = "'good food, visit 0', 'good'"
    assert str(error.value) == first.format(name="a.csv", given="review", columns=listed)


def test_a_title_above_the_header_is_passed_over(read, tmp_path):
    assert read("a.csv", "Our reviews 2026\n\n" + CSV) == TEXTS
    frame = pd.DataFrame([["Our reviews", None], [None, None], ["review", "stars"], ["Good.", 5]])
    frame.to_excel(tmp_path / "a.xlsx", index=False, header=False)
    assert plain_texts(tmp_path / "a.xlsx", ["review"], "en", str(tmp_path / "work"))["text"][:] == ["Good."]


@pytest.mark.parametrize("separator", [",", ";", "\t", "|", "，", "；", "،", "؛"])
@pytest.mark.parametrize("suffix", ["csv", "tsv", "txt"])
def test_every_separator_is_found(read, separator, suffix):
    content = f"review{separator}stars\n" + "".join(f'"{text}"{separator}1\n' for text in TEXTS)
    assert read(f"a.{suffix}", content) == TEXTS


@pytest.mark.parametrize("line", ["sep=;\n", "sep=;\r\n", '"sep=;"\n', "SEP=;\n", "\ufeffsep=;\n"])
def test_a_line_that_names_the_separator_is_heeded(read, line):
    assert read("a.csv", line + "review;stars\nGood, really;1\n") == ["Good, really"]


def test_full_width_commas_in_unquoted_texts_are_told(read):
    with pytest.raises(ValueError, match="line 2: a row of 'a.csv' has more cells"):
        read("a.csv", "文本，标签\n好吃，下次再来，好\n", column="文本")


def test_a_mark_that_never_ends_swallows_no_rows(read):
    lines = ["review\tstars", *(f"{text}\t{label}" for text, label in zip(TEXTS, LABELS, strict=True))]
    for opened in ([5], [5, 21], [1, 2, 3], [40]):
        rows = [f'"{line}' if number in opened else line for number, line in enumerate(lines)]
        assert read("a.tsv", "\n".join(rows) + "\n") == [row.split("\t")[0] for row in rows[1:]]


def test_a_mark_that_another_text_ends_swallows_no_rows(read):
    rows = ["review\tstars", *(f"{text}\t{label}" for text, label in zip(TEXTS, LABELS, strict=True))]
    rows[5], rows[9] = '"' + rows[5], rows[9].replace("\t", '"\t')
    assert read("a.tsv", "\n".join(rows) + "\n") == [row.split("\t")[0] for row in rows[1:]]


def test_an_unbalanced_mark_among_quoted_texts_is_refused_with_its_line(read):
    with pytest.raises(ValueError, match="'a.csv', line 4: a quotation mark opens here .* up to line 5"):
        read("a.csv", CSV.replace('"good food, visit 1"', '"good food, visit 1'))


QUOTED = {
    "in the middle": ('He said "hi" to me,1\n', 'He said "hi" to me'),
    "doubled": ('"He said ""hi"", twice",1\n', 'He said "hi", twice'),
    "not doubled": ('"He said "hi" to me",1\n', 'He said "hi" to me'),
    "with a backslash": ('"He said \\"hi\\", twice",1\n', 'He said "hi", twice'),
    "with a break": ('"He said\nhi, twice",1\n', "He said\nhi, twice"),
    "with a blank line": ('"He said\n\nhi",1\n', "He said\n\nhi"),
}


@pytest.mark.parametrize(("row", "text"), QUOTED.values(), ids=QUOTED)
def test_marks_that_belong_to_a_text_are_kept(read, row, text):
    assert read("a.csv", "review,stars\n" + row + "Bad.,0\n") == [text, "Bad."]


def test_a_text_of_several_lines_that_look_like_rows_is_kept(read):
    rows = "".join(f'"Dear all,\nwell, really\nbye, {n}",{n % 2}\n' for n in range(30))
    assert len(read("a.csv", f"review,stars\nGood.,1\nBad.,0\n{rows}")) == 32


PACKERS = {"gz": gzip.compress, "bz2": bz2.compress, "xz": lzma.compress}


@pytest.mark.parametrize("suffix", PACKERS)
def test_a_packed_file_is_read(read, suffix):
    assert read(f"a.csv.{suffix}", PACKERS[suffix](CSV.encode())) == TEXTS
    assert read("a.csv", PACKERS[suffix](CSV.encode("utf-16"))) == TEXTS


def zipped(path, members: dict[str, str]):
    with zipfile.ZipFile(path, "w") as archive:
        for name, content in members.items():
            archive.writestr(name, content)
    return path


def test_a_zip_with_one_table_is_read_and_one_with_more_is_refused(tmp_path):
    work = str(tmp_path / "work")
    for name, members in {"a.csv.zip": {}, "b.zip": {"__MACOSX/._a.csv": "x", "folder/.DS_Store": "y"}}.items():
        path = zipped(tmp_path / name, {"folder/a.csv": CSV} | members)
        assert plain_texts(path, ["review"], "en", work)["text"][:] == TEXTS
    path = zipped(tmp_path / "c.zip", {"train.csv": CSV, "test.csv": CSV})
    with pytest.raises(ValueError, match="'c.zip' has 2 files in it: 'train.csv', 'test.csv'; .*Unpack"):
        plain_texts(path, ["review"], "en", work)
    (tmp_path / "d.zip").write_bytes(path.read_bytes()[:60])
    with pytest.raises(ValueError, match="cannot read 'd.zip'"):
        plain_texts(tmp_path / "d.zip", ["review"], "en", work)
    with pytest.raises(ValueError, match="cannot read 'e.csv.gz'"):
        (tmp_path / "e.csv.gz").write_bytes(gzip.compress(CSV.encode())[:-20])
        plain_texts(tmp_path / "e.csv.gz", ["review"], "en", work)


@pytest.mark.parametrize("header", [["review", "stars"], ["id", "review", "stars"]])
def test_a_tar_with_one_table_is_read_and_one_with_more_is_refused(tmp_path, header):
    content = pd.DataFrame({"id": 7, "review": TEXTS, "stars": 1})[header].to_csv(index=False)
    kinds = {"one": tarfile.GNU_FORMAT, "two": tarfile.PAX_FORMAT}
    for name, members in {"one": ["a.csv", "._a.csv"], "two": ["train.csv", "test.csv"]}.items():
        with tarfile.open(tmp_path / f"{name}.tar.gz", "w:gz", format=kinds[name]) as archive:
            for member in members:
                (tmp_path / member).write_text(content)
                archive.add(tmp_path / member, f"data/{member}")
    work = str(tmp_path / "work")
    assert plain_texts(tmp_path / "one.tar.gz", ["review"], "en", work)["text"][:] == TEXTS
    with pytest.raises(ValueError, match="'two.tar.gz' has 2 files in it: 'data/train.csv', 'data/test.csv'; .*Unpack"):
        plain_texts(tmp_path / "two.tar.gz", ["review"], "en", work)
    packed = gzip.decompress((tmp_path / "one.tar.gz").read_bytes())
    (tmp_path / "cut.tar").write_bytes(packed[:600])
    with pytest.raises(ValueError, match="cannot read 'cut.tar'"):
        plain_texts(tmp_path / "cut.tar", ["review"], "en", work)


def test_a_folder_is_called_one(tmp_path):
    (tmp_path / "data").mkdir()
    with pytest.raises(ValueError, match="data' is a folder; expected the path of a file"):
        plain_texts(tmp_path / "data", ["review"], "en", str(tmp_path / "work"))


ROWS = [{"review": text, "stars": label} for text, label in zip(TEXTS, LABELS, strict=True)]
JSONS = {
    "records": ROWS,
    "columns": {"review": TEXTS, "stars": LABELS},
    "columns by row": {"review": dict(enumerate(TEXTS)), "stars": dict(enumerate(LABELS))},
    "rows by name": {f"r{n}": row for n, row in enumerate(ROWS)},
    "split": {"columns": ["review", "stars"], "index": [*range(40)], "data": [[*row.values()] for row in ROWS]},
    "lists": [["review", "stars"], *([*row.values()] for row in ROWS)],
    "wrapped": {"version": 1, "data": ROWS},
    "deep": {"result": {"count": 40, "items": ROWS}},
    "beside others": {"people": [{"name": "A"}], "reviews": ROWS},
}


@pytest.mark.parametrize("shape", JSONS.values(), ids=JSONS)
@pytest.mark.parametrize("suffix", ["json", "jsonl", "csv"])
def test_json_of_every_shape_is_read(read, shape, suffix):
    assert read(f"a.{suffix}", json.dumps(shape)) == TEXTS
    assert read(f"a.{suffix}", json.dumps(shape, indent=1, ensure_ascii=False).encode("utf-8-sig")) == TEXTS


def test_json_lines_are_read_whatever_they_are_called(read):
    lines = "".join(json.dumps(row) + "\r\n" for row in ROWS)
    assert read("a.json", lines) == read("a.jsonl", lines) == read("a.ndjson", "\n" + lines) == TEXTS


def test_a_record_in_a_record_is_named_with_a_dot(read):
    assert read("a.json", json.dumps([{"post": {"text": "Good."}}]), column="post.text") == ["Good."]


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ('[{"review": "a"}, {"review" "b"}]', "'a.json', line 1, column 29: "),
        ("[1, 2, 3]", "there is no table in 'a.json'"),
        ("{}", "there is no table in 'a.json'"),
        ("[]", "there is no table in 'a.json'"),
        ('{"a": [{"review": "x"}], "b": [{"review": "y"}]}', "'a.json' holds 2 tables"),
        ("[" * 100_000, "'a.json'"),
        ('{"text": "a"}\n{"text": "b"}\n', "'a.json' has no column 'review'"),
        ('[["review"], ["a", "b"]]', "there is no table in 'a.json'"),
        ('[["review", "review"], ["a", "b"]]', "there is no table in 'a.json'"),
    ],
)
def test_json_without_the_table_is_refused(read, content, said):
    with pytest.raises(ValueError, match=said):
        read("a.json", content)


@pytest.fixture
def book(tmp_path):
    """Writes an Excel file with sheets."""

    def write(name: str, **sheets) -> str:
        path = tmp_path / "book.xlsx"
        with pd.ExcelWriter(path) as writer:
            for title, frame in sheets.items():
                pd.DataFrame(frame).to_excel(writer, sheet_name=title, index=False)
        return path.rename(tmp_path / name)

    return write


def test_the_sheet_with_the_columns_is_read_and_two_of_them_are_refused(book, tmp_path):
    table, work = {"review": TEXTS, "stars": LABELS}, str(tmp_path / "work")
    path = book("a.xlsx", Notes={"by": ["me"]}, Data=table, Empty={})
    assert plain_texts(path, ["review"], "en", work)["text"][:] == TEXTS
    with pytest.raises(ValueError, match="'a.xlsx' has no rows"):
        plain_texts(TableFile(path, sheet="Empty"), ["review"], "en", work)
    path = book("b.xlsx", y2025=table, y2026={"review": ["New."], "stars": [1]})
    with pytest.raises(ValueError, match="more than one sheet of 'b.xlsx' .*'y2025', 'y2026'; .*--sheet"):
        plain_texts(path, ["review"], "en", work)
    assert plain_texts(TableFile(path, sheet="y2026"), ["review"], "en", work)["text"][:] == ["New."]
    with pytest.raises(ValueError, match="'b.xlsx' has no sheet 'y2024'; its sheets: 'y2025', 'y2026'"):
        plain_texts(TableFile(path, sheet="y2024"), ["review"], "en", work)


def test_a_name_that_is_twice_in_a_sheet_is_refused(tmp_path):
    frame = pd.DataFrame([["review", "stars", "review"], ["a", 1, "b"]])
    frame.to_excel(tmp_path / "a.xlsx", index=False, header=False)
    with pytest.raises(ValueError, match="'a.xlsx' has more than one column 'review'"):
        plain_texts(tmp_path / "a.xlsx", ["review"], "en", str(tmp_path / "work"))


@pytest.mark.parametrize("name", ["a.csv", "a.xls", "a.txt", "a.json", "a.parquet"])
def test_an_excel_file_is_read_under_another_name(book, tmp_path, name):
    path = book(name, Data={"review": TEXTS, "stars": LABELS})
    assert plain_texts(path, ["review"], "en", str(tmp_path / "work"))["text"][:] == TEXTS


@pytest.mark.parametrize("name", ["a.xlsx", "a.xls", "a.txt", "a.json", "a.parquet", "a.gz"])
def test_a_csv_is_read_under_another_name(read, name):
    assert read(name, CSV) == TEXTS == read(name, CSV.encode("utf-16"))


def test_a_parquet_file_is_read_under_another_name(tmp_path):
    pd.DataFrame({"review": TEXTS}).to_parquet(tmp_path / "a.parquet")
    for name in ("a.csv", "x::y [1].parquet", "a#b%20.parquet"):
        path = (tmp_path / "a.parquet").rename(tmp_path / name)
        assert plain_texts(path, ["review"], "en", str(tmp_path / "work"))["text"][:] == TEXTS
        path.rename(tmp_path / "a.parquet")
    pd.DataFrame({"review": []}).to_parquet(tmp_path / "empty.pq.gz")
    with pytest.raises(ValueError, match="^'empty.pq.gz' has no rows; expected a row or more$"):
        plain_texts(tmp_path / "empty.pq.gz", ["review"], "en", str(tmp_path / "work"))


FOREIGN = {
    "HTML": b"<html><body><table><tr><td>review</td></tr></table></body></html>",
    "HTML/XML": b'\xef\xbb\xbf\n<?xml version="1.0"?>\n<Workbook/>',
    "Excel 97-2003": b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1" + bytes(600),
    "PDF": b"%PDF-1.7\n",
    "7z": b"7z\xbc\xaf\x27\x1c\x00\x04",
}


@pytest.mark.parametrize("kind", FOREIGN)
@pytest.mark.parametrize("name", ["a.xls", "a.csv", "a.xlsx"])
def test_what_is_no_table_is_called_what_it_is(read, kind, name):
    with pytest.raises(ValueError, match=rf"'{name}' is {re.escape(kind)}.*, whatever its name .* save it as CSV"):
        read(name, FOREIGN[kind])


def test_a_workbook_with_a_password_is_told_as_that(read):
    with pytest.raises(ValueError, match="'a.xlsx' is locked with a password"):
        read("a.xlsx", FOREIGN["Excel 97-2003"] + "EncryptedPackage".encode("utf-16-le") + bytes(90))


@pytest.mark.parametrize("member", ["word/document.xml", "content.xml", "xl/workbook.bin"])
def test_other_office_files_are_called_what_they_are(tmp_path, member):
    path = zipped(tmp_path / "a.xlsx", {"mimetype": "x", member: "<x/>"})
    with pytest.raises(ValueError, match=r"'a.xlsx' is (Word|OpenDocument|Excel \(.xlsb\))"):
        plain_texts(path, ["review"], "en", str(tmp_path / "work"))


NAMES = [
    "train [1].csv",
    "مراجعات (2).csv",
    "a#b%20.csv",
    "x::y.csv",
    "a*b?.csv",
    "评论 {1}.csv",
    "~$a.csv",
    "-a.csv",
    "a'b.csv",
]


@pytest.mark.parametrize("name", NAMES)
def test_odd_names_of_files_are_read(read, name):
    assert read(name, CSV) == TEXTS


@pytest.mark.parametrize("number", [errno.EINVAL, errno.EPERM, errno.ENOTSUP, errno.EACCES, errno.EBADF])
def test_a_folder_that_cannot_be_waited_for_takes_a_model(tiny, tmp_path, monkeypatch, number):
    real = os.fsync

    def fsync(descriptor):
        if os.path.isdir(f"/proc/self/fd/{descriptor}"):
            raise OSError(number, os.strerror(number))
        return real(descriptor)

    monkeypatch.setattr(os, "fsync", fsync)
    sync(tmp_path)
    if number == errno.EINVAL:
        (tmp_path / "a.csv").write_text(CSV)
        options = {"text": "review", "label": "stars", "model": tiny, "config": FAST}
        assert finetune(tmp_path / "a.csv", output_dir=tmp_path / "out", **options).predict(["good"]).labels


def test_a_full_disk_is_still_told(tmp_path, monkeypatch):
    def fsync(_):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(os, "fsync", fsync)
    (tmp_path / "a").write_text("x")
    with pytest.raises(OSError, match="No space"):
        sync(tmp_path / "a")


def test_a_full_disk_while_a_table_is_unpacked_is_no_damage(read, monkeypatch):
    def full(*_):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(formats, "copy", full)
    with pytest.raises(OSError, match="no room for working files in .*make room there"):
        read("a.csv.gz", gzip.compress(CSV.encode()))


def test_the_command_line_names_encoding_and_sheet(tiny, tmp_path, book):
    (tmp_path / "a.csv").write_bytes("review,stars\nЕда была вкусной,1\n".encode("cp1251"))
    out = str(tmp_path / "answers.csv")
    words = ["predict", tiny, str(tmp_path / "a.csv"), "--text", "review", "--out", out]
    assert CliRunner().invoke(app, words).exit_code == 2
    run = CliRunner().invoke(app, [*words, "--encoding", "windows-1251"])
    assert run.exit_code == 0 and "a.csv was read in the encoding cp1251." in run.output
    assert "вкусной" in (tmp_path / "answers.csv").read_text(encoding="utf-8-sig")
    path = book("b.xlsx", one={"review": TEXTS}, two={"review": ["New."]})
    words = ["predict", tiny, str(path), "--text", "review", "--out", out, "--force"]
    assert CliRunner().invoke(app, words).exit_code == 2
    assert CliRunner().invoke(app, [*words, "--sheet", "two"]).exit_code == 0
    assert "New." in (tmp_path / "answers.csv").read_text(encoding="utf-8-sig")


def test_an_encoding_that_is_named_and_wrong_is_told_as_that(read):
    with pytest.raises(
        ValueError, match="'a.csv' is not in the encoding utf-8 that was named: line 2, byte 1 "
    ) as told:
        read("a.csv", "review\nجيد جدا\n".encode("cp1256"), encoding="utf-8")
    assert "rest of the file" not in str(told.value)


@pytest.mark.parametrize(("named", "encoding"), [("utf-8", "utf-8-sig"), ("utf-16-le", "utf-16"), ("UTF8", "utf-8")])
def test_the_mark_of_an_encoding_that_is_named_is_no_text(read, named, encoding):
    assert read("a.csv", '"review","stars"\n"Good.","1"\n'.encode(encoding), encoding=named) == ["Good."]


def test_another_encoding_is_another_call():
    calls = [
        call_of(table, ["a", "b"], None, 0.1, TrainConfig(), "en")
        for table in ("x/a.csv", TableFile("y/a.csv"), TableFile("a.csv", encoding="gbk"))
    ]
    assert calls[0] == calls[1] != calls[2]


ODD = [*'",;\t|\n\r\\', '""', "，", "\ufeff", "\u200f", "\x00", "sep=", "{", "[", "<", " ", "好", "جيد", "é", "😀"]
CELLS = st.lists(st.sampled_from(ODD) | st.text(max_size=8), max_size=5).map("".join)


@SLOW
@given(
    rows=st.lists(st.tuples(CELLS, st.sampled_from(["good", "bad"])), min_size=1, max_size=12),
    separator=st.sampled_from(",;\t"),
    lines=st.sampled_from(["\n", "\r\n"]),
)
def test_what_a_spreadsheet_writes_comes_back(tmp_path, rows, separator, lines):
    frame = pd.DataFrame(rows, columns=["review", "stars"])
    frame["review"] = frame["review"].map(lambda text: text.encode("utf-8", "replace").decode())
    frame.to_csv(tmp_path / "a.csv", index=False, sep=separator, lineterminator=lines, quoting=1)
    try:
        found = plain_texts(tmp_path / "a.csv", ["review"], "en", str(tmp_path / "work"))["text"][:]
    except ValueError as error:
        assert "a.csv" in str(error) and any(sign in "".join(frame["review"]) for sign in '\n\r\\"\x00')
    else:
        assert found == [text or None for text in frame["review"]]


@SLOW
@given(content=st.lists(CELLS, max_size=12).map("\n".join), suffix=st.sampled_from(["csv", "tsv", "json", "xlsx"]))
def test_no_traceback_whatever_is_in_a_file(tmp_path, content, suffix):
    path = tmp_path / f"a.{suffix}"
    path.write_bytes(b"review,stars\n" * (len(content) % 2) + content.encode("utf-8", "replace"))
    try:
        prepare(path, ["review", "stars"], "en", 0.5, 0, str(tmp_path / "work"))
    except ValueError as error:
        assert "a." in str(error) or "usable rows" in str(error)


def test_a_data_frame_with_blanks_in_its_names_is_read():
    assert plain_texts(pd.DataFrame({" review ": ["Good."]}), ["review"], "en", "")["text"][:] == ["Good."]
    assert plain_texts(Dataset.from_dict({"review\u200f": ["Good."]}), ["review"], "en", "")["text"][:] == ["Good."]


@pytest.mark.parametrize("kind", ["frame", "dataset", "parquet", "json", "jsonl"])
def test_labels_of_any_kind_are_read_under_a_name_with_blanks(tmp_path, kind):
    words = ["good", "bad", "so"]
    frame = pd.DataFrame({"review": [f"{words[n % 3]} food {n}" for n in range(48)], "stars": [1, 2, 3] * 16})
    frame["customer"] = [number // 2 for number in range(48)]
    wild = frame.rename(columns={"review": " review\u200f", "stars": "stars ", "customer": "\u00a0customer"})
    if kind == "parquet":
        wild.to_parquet(tmp_path / "a.parquet")
    elif kind.startswith("json"):
        wild.to_json(tmp_path / f"a.{kind}", orient="records", lines=kind == "jsonl")
    table = {"frame": wild, "dataset": Dataset.from_pandas(wild)}.get(kind, tmp_path / f"a.{kind}")
    found = [
        prepare(rows, ["review", "stars"], "en", 0.25, 0, str(tmp_path / "work"), group="customer")
        for rows in (frame, table)
    ]
    assert found[1].names == ["1", "2", "3"] and found[1].apart == found[0].apart
    assert found[1].train[:] == found[0].train[:] and found[1].valid[:] == found[0].valid[:]


def test_columns_may_have_numbers_for_names():
    frame = pd.DataFrame([(f"{'good' if n % 2 else 'bad'} food {n}", n % 2) for n in range(24)])
    assert prepare(frame, ["0", "1"], "en", 0.25, 0, "").names == ["0", "1"]
