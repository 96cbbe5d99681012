"""How public text, as its owners store it, becomes the folder that the encoder is distilled from."""

import json
import lzma
import re
import zipfile

import pytest

from kit import sources
from kit.texts import opinions, rows_of

TWEETS = """dialect,sarcasm,sentiment,original_sentiment,tweet,source
gulf,False,positive,neutral,\"\"\"@cook_1 الطعام هنا لذيذ جدا ورخيص https://t.co/Ab1\"\"\",one
msa,True,negative,negative,"انتظرنا ""ساعة""  كاملة قرب الباب https://t.c…",two
egypt,False,neutral,neutral,RT @b: المطعم يفتح كل يوم الساعة تسعة,one
msa,False,neutral,neutral,قصير,one
"""
MORE_TWEETS = """dialect,sarcasm,sentiment,original_sentiment,tweet,source
levant,False,negative,neutral,الطعام هنا لذيذ جدا ورخيص,two
levant,False,positive,neutral,@a @b القهوة عندهم طيبة كتير اليوم,two
"""
ARTICLE = """<doc id="1" title="خبز" url="https://example.org/1">
خبز

الخبز طعام من الدقيق والماء.<ref name="a">كتاب</ref> هل يؤكل ساخنا في كل البلاد؟ نعم.
يخبز في الفرن &lt;br /&gt; أو على الصاج كل صباح
{long}
</doc>"""
EGYPTIAN = '<doc id="2">\nالعيش بيتعمل من الدقيق والميه كل يوم.\nالعيش بيتعمل من الدقيق والميه كل يوم.\n</doc>'
VOICE = {
    "en": {
        "a.txt": "Where is the\tnearest bakery?\r\n\r\nToo short.\nThe bread is  still warm.\n",
        "b.txt": "The bread is still warm.\n",
    },
    "ar": {"a.txt": "\ufeffأين أقرب مخبز من هنا؟\n"},
    "zh-CN": {"a.txt": "请问附近哪里可以买到新鲜面包？\n", "notes.md": "这不是句子，只是给编辑的说明。\n"},
    "zh-TW": {"a.txt": "請問附近哪裡可以買到新鮮麵包？\n"},
}
DRCD = "麵包是用麵粉和水烤成的食物。麵包師傅說：「每天清晨四點就要起床！」真的？\n剛出爐的麵包放涼以後才切得整齊"
CMRC = ("这家面包店开在老城的小巷子里。店主每天清晨四点起床揉面！", "新鲜的面包放凉以后才好切成薄片。")


def squad(contexts: list[str]) -> dict:
    return {"version": "1", "data": [{"title": "t", "paragraphs": [{"context": c, "qas": []} for c in contexts]}]}


def asked(questions: dict[str, str]) -> dict:
    qas = [{"id": name, "question": question, "answers": []} for name, question in questions.items()]
    return {"version": "1", "data": [{"title": "t", "paragraphs": [{"context": "c", "qas": qas}]}]}


def zipped(path, files: dict[str, bytes]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    with zipfile.ZipFile(path, "w") as archive:
        for name, content in files.items():
            archive.writestr(name, content)


def put(path, content) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(content if isinstance(content, str) else json.dumps(content), encoding="utf-8", newline="")


@pytest.fixture
def downloads(tmp_path):
    """Every source, small, each in its own format."""
    root = tmp_path / "downloads"
    for lang, files in VOICE.items():
        for name, content in files.items():
            put(root / "voice-web/server/data" / lang / name, content)
    reviews = {
        "movie_reviews/README": b"this is not a review at all",
        "movie_reviews/neg/cv1.txt": b"the plot , if there is one , never wakes up . \nboring . \n",
        "movie_reviews/pos/cv2.txt": "a small caf\u00e9 , a great story . \n".encode("cp1252"),
    }
    zipped(root / "nltk_data/packages/corpora/movie_reviews.zip", reviews)
    pros = "<Pros>Light, sturdy &amp;amp; cheap!</Pros>\n<Pros>Good&amp;#13;&amp;#10;battery life</Pros>\n"
    cons = "<Cons>Good battery life</Cons>\nno tags in this line, no opinion\n<Cons>small</Cons>\n"
    files = {"pros_cons/IntegratedPros.txt": pros.encode(), "pros_cons/IntegratedCons.txt": cons.encode()}
    zipped(root / "nltk_data/packages/corpora/pros_cons.zip", files)
    wiki = root / "comparableWikiCoprus/ar-arz/20170120"
    put(wiki / "ar/doc_1.txt", ARTICLE.format(long="طويل " * 100))
    put(wiki / "arz/doc_1.txt", EGYPTIAN)
    put(root / "ArSarcasm/dataset/ArSarcasm_test.csv", TWEETS)
    put(root / "ArSarcasm/dataset/ArSarcasm_train.csv", MORE_TWEETS)
    put(root / "DRCD/DRCD_dev.json", squad([DRCD]))
    put(root / "DRCD/DRCD_test.json", squad([DRCD]))
    put(root / "cmrc2018/squad-style-data/cmrc2018_dev.json", squad([CMRC[0]]))
    put(root / "cmrc2018/data/cmrc2018_trial.json", [{"context_id": "T", "context_text": CMRC[1], "qas": []}])
    put(root / "nmt/ara.txt", "Good bread!\tخبز جيد!\tby (a) & (b)\r\nGood bread!\tخبز جيد!\tby (c)\r\n")
    put(
        root / "Seq2Seq-for-NMT/data/cmn.txt",
        "Good bread!\t好面包！\tby (a) & (d)\nGood bread!\t面包真好！\tby (e)\n\n",
    )
    put(root / "xquad/xquad.en.json", asked({"q1": "Who bakes?", "q2": "When?"}))
    put(root / "xquad/xquad.ar.json", asked({"q2": "متى؟", "q1": "من يخبز؟"}))
    put(root / "xquad/xquad.zh.json", asked({"q1": "谁烤面包？", "q9": "别的问题？"}))
    put(root / "xquad/.git/xquad.en.json", "not a file of the repository")
    return root


def built(downloads, folder) -> dict[str, list[dict[str, str]]]:
    sources.main([str(downloads), str(folder)])
    return {name: list(rows_of(folder / f"{name}.tsv.xz")) for name in sources.COLUMNS}


def texts(rows: list[dict[str, str]], source: str) -> list[str]:
    return [row["text"] for row in rows if row["source"] == source]


def failure(downloads, folder) -> str:
    """What the command says when it gives up. It has written nothing."""
    with pytest.raises(SystemExit) as stop:
        sources.main([str(downloads), str(folder)])
    assert not folder.exists()
    return stop.value.code


def test_english(downloads, tmp_path):
    rows = built(downloads, tmp_path / "texts")["en"]
    assert texts(rows, "common-voice") == ["Where is the nearest bakery?", "The bread is still warm."]
    assert texts(rows, "movie-reviews") == [
        "the plot , if there is one , never wakes up .",
        "a small café , a great story .",
    ]
    assert texts(rows, "pros_cons") == ["Good battery life", "Light, sturdy & cheap!"]


def test_arabic(downloads, tmp_path):
    rows = built(downloads, tmp_path / "texts")["ar"]
    assert texts(rows, "common-voice") == ["أين أقرب مخبز من هنا؟"]
    assert texts(rows, "wikipedia-ar") == [
        "الخبز طعام من الدقيق والماء.",
        "هل يؤكل ساخنا في كل البلاد؟",
        "يخبز في الفرن أو على الصاج كل صباح",
    ]
    assert texts(rows, "wikipedia-arz") == ["العيش بيتعمل من الدقيق والميه كل يوم."]
    assert texts(rows, "arsarcasm-tweets") == [
        "الطعام هنا لذيذ جدا ورخيص",
        'انتظرنا "ساعة" كاملة قرب الباب',
        "RT : المطعم يفتح كل يوم الساعة تسعة",
        "القهوة عندهم طيبة كتير اليوم",
    ]


def test_opinions(downloads, tmp_path):
    folder = tmp_path / "texts"
    rows = built(downloads, folder)["ar-opinions"]
    labels = [("positive", "gulf"), ("negative", "msa"), ("neutral", "egypt"), ("positive", "levant")]
    assert [(row["sentiment"], row["dialect"]) for row in rows] == labels
    assert [o.label for o in opinions("ar", folder)] == [1, 0, 1]


def test_chinese(downloads, tmp_path):
    tables = built(downloads, tmp_path / "texts")
    assert texts(tables["zh"], "common-voice") == ["请问附近哪里可以买到新鲜面包？"]
    assert texts(tables["zh-Hant"], "common-voice") == ["請問附近哪裡可以買到新鮮麵包？"]
    assert texts(tables["zh-Hant"], "drcd") == [
        "麵包是用麵粉和水烤成的食物。",
        "麵包師傅說：「每天清晨四點就要起床！」",
        "剛出爐的麵包放涼以後才切得整齊",
    ]
    assert texts(tables["zh"], "cmrc2018") == [
        "这家面包店开在老城的小巷子里。",
        "店主每天清晨四点起床揉面！",
        "新鲜的面包放凉以后才好切成薄片。",
    ]


def test_pairs(downloads, tmp_path):
    rows = built(downloads, tmp_path / "texts")["pairs"]
    assert [tuple(row.values()) for row in rows] == [
        ("ar", "Good bread!", "خبز جيد!", "by (a) & (b)"),
        ("ar", "When?", "متى؟", "xquad"),
        ("ar", "Who bakes?", "من يخبز؟", "xquad"),
        ("zh", "Good bread!", "好面包！", "by (a) & (d)"),
        ("zh", "Good bread!", "面包真好！", "by (e)"),
        ("zh", "Who bakes?", "谁烤面包？", "xquad"),
    ]


def test_the_form_of_the_files(downloads, tmp_path, capsys):
    """No tabs or line ends inside, nothing twice in a source, and nothing but the six files."""
    folder = tmp_path / "texts"
    tables = built(downloads, folder)
    assert sorted(path.name for path in folder.iterdir()) == sorted(f"{name}.tsv.xz" for name in tables)
    for name, rows in tables.items():
        content = lzma.decompress((folder / f"{name}.tsv.xz").read_bytes()).decode()
        assert content.count("\n") == len(rows) + 1 and "\r" not in content
        assert all(tuple(row) == sources.COLUMNS[name] for row in rows)
        assert all(cell and cell == " ".join(cell.split()) for row in rows for cell in row.values())
        assert len({tuple(row.values()) for row in rows}) == len(rows)
    assert f"en.tsv.xz: {len(tables['en'])}" in capsys.readouterr().out
    first = {path.name: path.read_bytes() for path in folder.iterdir()}
    built(downloads, folder)
    assert first == {path.name: path.read_bytes() for path in folder.iterdir()}


def test_a_part_of_a_large_source_is_the_same_each_time():
    rows = [("name", f"text {i}") for i in range(100)]
    part = sources.sample(rows, 10)
    assert len(part) == 10 and part == sorted(part, key=rows.index)
    assert set(sources.sample(rows[::-1], 10)) == set(part)
    assert sources.sample(rows, None) == sources.sample(rows, 100) == rows


@pytest.mark.parametrize(
    "gone, parts",
    [
        (
            "voice-web/server/data/zh-TW/a.txt",
            "common-voice (zh-Hant)|mozilla/voice-web|e0bfbc4be9eb|server/data/zh-TW",
        ),
        (
            "nltk_data/packages/corpora/pros_cons.zip",
            "pros_cons (en)|nltk/nltk_data|5db857e6f7df|corpora/pros_cons.zip",
        ),
        ("comparableWikiCoprus/ar-arz/20170120/arz/doc_1.txt", "wikipedia-arz (ar)|6e4a6e274b55|ar-arz/20170120/arz"),
        ("DRCD/DRCD_test.json", "drcd (zh-Hant)|DRCKnowledgeTeam/DRCD|b944790de5af|DRCD_test.json"),
        ("xquad/xquad.zh.json", "xquad (en-zh)|deepmind/xquad|60cac4116491|xquad.zh.json"),
    ],
)
def test_a_missing_source_is_named(downloads, tmp_path, gone, parts):
    (downloads / gone).unlink()
    message = failure(downloads, tmp_path / "texts")
    assert "\n" not in message and str(downloads / gone.split("/")[0]) in message
    assert all(part in message for part in (*parts.split("|"), "Fetch https://github.com/", "python -m kit.sources"))


def test_without_downloads_every_source_is_named(tmp_path):
    messages = failure(tmp_path / "nothing", tmp_path / "texts").splitlines()
    assert len(messages) == len(sources.SOURCES)
    for source, message in zip(sources.SOURCES, messages, strict=True):
        assert source.repository in message and source.commit in message


HEADER = TWEETS.splitlines()[0]


@pytest.mark.parametrize(
    "file, content, reason",
    [
        ("DRCD/DRCD_dev.json", b'{"data": [{"paragr', "JSONDecodeError"),
        ("DRCD/DRCD_test.json", b'{"version": "1"}', "data"),
        ("cmrc2018/data/cmrc2018_trial.json", b'["text"]', "TypeError"),
        ("xquad/xquad.en.json", b"", "JSONDecodeError"),
        ("xquad/xquad.ar.json", b'{"data": [{"paragraphs": [{}]}]}', "qas"),
        (
            "ArSarcasm/dataset/ArSarcasm_train.csv",
            f'{HEADER}\nmsa,True,negative,negative,"begun'.encode(),
            "unexpected end",
        ),
        ("ArSarcasm/dataset/ArSarcasm_train.csv", f"{HEADER}\nmsa,True".encode(), "line 2"),
        ("ArSarcasm/dataset/ArSarcasm_train.csv", b"text,label\na,b\n", "sentiment"),
        ("ArSarcasm/dataset/ArSarcasm_test.csv", f"{HEADER}\nmsa,True,good,good,a,b".encode(), "'good'"),
        ("nltk_data/packages/corpora/movie_reviews.zip", b"version https://git-lfs", "BadZipFile"),
        ("nltk_data/packages/corpora/pros_cons.zip", b"PK\x03\x04 cut off", "BadZipFile"),
        ("nmt/ara.txt", b"Good bread!\tone\n", "line 1 has 2 columns, expected 3"),
        ("voice-web/server/data/en/a.txt", b"caf\xe9 and bread\n", "UnicodeDecodeError"),
        ("comparableWikiCoprus/ar-arz/20170120/ar/doc_1.txt", b"", "no texts"),
    ],
)
def test_a_broken_file_is_named(downloads, tmp_path, file, content, reason):
    (downloads / file).write_bytes(content)
    message = failure(downloads, tmp_path / "texts")
    assert "\n" not in message and str(downloads / file) in message and reason in message


def test_a_damaged_member_of_a_zip_is_named(downloads, tmp_path):
    path = downloads / "nltk_data/packages/corpora/movie_reviews.zip"
    path.write_bytes(path.read_bytes().replace(b"the plot", b"the knot", 1))
    assert str(path) in failure(downloads, tmp_path / "texts")


def test_nothing_is_written_half(downloads, tmp_path, monkeypatch):
    """When a file cannot be written, those of the last time stay, and nothing else."""
    folder = tmp_path / "texts"
    built(downloads, folder)
    before = {path.name: path.read_bytes() for path in folder.iterdir()}
    put(downloads / "voice-web/server/data/en/c.txt", "A sentence that is new today.\n")
    opened = lzma.open

    def full(path, *arguments, **options):
        if path.name.startswith("pairs"):
            raise OSError("no space left")
        return opened(path, *arguments, **options)

    monkeypatch.setattr(lzma, "open", full)
    with pytest.raises(SystemExit, match="no space left"):
        sources.main([str(downloads), str(folder)])
    assert before == {path.name: path.read_bytes() for path in folder.iterdir()}


def test_the_table_says_how_to_fetch_everything(capsys):
    sources.main([])
    shown = capsys.readouterr().out
    table, commands = (part.splitlines() for part in shown.split("\n\n"))
    assert len(table) == len(sources.SOURCES) + 1
    for source, line in zip(sources.SOURCES, table[1:], strict=True):
        for part in (source.language, source.name, source.licence, source.repository, source.commit, *source.paths):
            assert part in line
        place = f"DOWNLOADS/{source.folder}"
        assert f"git clone --filter=blob:none --no-checkout https://github.com/{source.repository} {place}" in commands
        assert f"git -C {place} checkout --detach {source.commit}" in commands
        sparse = next(line for line in commands if line.startswith(f"git -C {place} sparse-checkout set --no-cone "))
        assert all(path in sparse for path in source.paths)
    assert len(commands) == 3 * len({source.repository for source in sources.SOURCES}) + 1
    assert commands[-1] == "python -m kit.sources DOWNLOADS DIR"


def test_the_table_is_complete():
    """Every file has sources; every source a commit, and a name of its own in its file."""
    assert {source.table for source in sources.SOURCES} == set(sources.COLUMNS)
    assert all(re.fullmatch("[0-9a-f]{12}", source.commit) and source.licence for source in sources.SOURCES)
    assert len({(source.language, source.name) for source in sources.SOURCES}) == len(sources.SOURCES)
    folders = {source.repository: source.folder for source in sources.SOURCES}
    assert len(set(folders.values())) == len(folders)


def test_downloads_without_a_folder_to_write(downloads, capsys):
    with pytest.raises(SystemExit):
        sources.main([str(downloads)])
    assert "DIR" in capsys.readouterr().err
