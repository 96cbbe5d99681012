"""In which encoding a table is: read right or refused, and never garbled."""

import random
from functools import cache
from itertools import product

import pytest
from datasets import load_dataset
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from ftcourse.engine.cleaning import read_sides
from ftcourse.engine.encodings import BLOCK, ENCODINGS, find_encoding
from ftcourse.engine.messages import speaking
from ftcourse.engine.tables import TableFile
from ftcourse.kit import Kit

UNICODE = ("utf-8", "utf-8-sig", "utf-16", "utf-16-le", "utf-16-be", "utf-32", "utf-32-le", "utf-32-be")
OLD = {
    "en": ("cp1252",),
    "ar": ("cp1256", "iso-8859-6"),
    "zh": ("gb18030", "gb2312"),
    "zh-Hant": ("big5", "big5hkscs", "gb18030"),
}
PAIRS = [(lang, encoding) for lang, old in OLD.items() for encoding in (*UNICODE, *old)]
WESTERN = (
    "Café très agréable, déjà vu! Où est l’hôtel? Das Frühstück war süß – schöne Größe. El niño comió aquí. «Naïve»."
)
NEIGHBOURS = (
    8  # letters that a lost byte may change, in an encoding of two bytes a letter, before others are right again
)
SLOW = settings(max_examples=60, deadline=None, suppress_health_check=list(HealthCheck))


@cache
def reviews() -> dict[str, list[str]]:
    """Reviews by language, without quotation marks and breaks; the English ones with words from the rest of Europe."""
    found = {lang: load_dataset(*Kit(lang).dataset("reviews"))["train"]["text"][:500] for lang in OLD}
    words = WESTERN.split()
    found["en"] = [f"{text} {words[n % len(words)]} {words[n * 7 % len(words)]}" for n, text in enumerate(found["en"])]
    return {lang: [" ".join(text.replace('"', "").split()) for text in known] for lang, known in found.items()}


def table(texts: list[str]) -> str:
    return "review,stars\n" + "".join(f'"{text}",{n % 2}\n' for n, text in enumerate(texts))


def garbled(content: bytes, wanted: str, path, lang: str) -> int:
    """How many characters are read wrong, from the first to the last of them; 0 where the file is refused."""
    path.write_bytes(content)
    try:
        found = content.decode(find_encoding(path, lang)).lstrip("\ufeff")
    except ValueError as error:
        assert "'a.csv', line " in str(error)
        return 0
    least = min(len(found), len(wanted))
    start = next((n for n in range(least) if found[n] != wanted[n]), least)
    end = next((n for n in range(least - start) if found[-1 - n] != wanted[-1 - n]), least - start)
    return max(len(found), len(wanted)) - start - end


@pytest.mark.parametrize(("lang", "encoding"), PAIRS)
@pytest.mark.parametrize("said", ENCODINGS)
def test_a_whole_file_is_read_right_whichever_language_is_set(tmp_path, lang, encoding, said):
    content = table(reviews()[lang][:40]).encode(encoding, "ignore")
    (tmp_path / "a.csv").write_bytes(content)
    found = find_encoding(tmp_path / "a.csv", said)
    assert content.decode(found) == content.decode("gb18030" if encoding == "gb2312" else encoding)


@SLOW
@given(pair=st.sampled_from(PAIRS), said=st.sampled_from([*ENCODINGS]), seed=st.integers(0, 10**6), data=st.data())
def test_no_text_is_garbled_where_a_byte_is_lost_or_changed(tmp_path, pair, said, seed, data):
    lang, encoding = pair
    draw = random.Random(seed)
    chosen = draw.sample(reviews()[lang], draw.choice((1, 3, 30)))
    chosen = [text[: draw.choice((2, 8, 300))] for text in chosen]
    content = table(chosen).encode(encoding, "ignore")
    wanted = content.decode("gb18030" if encoding == "gb2312" else encoding).lstrip("\ufeff")
    assert garbled(content, wanted, tmp_path / "a.csv", said) == 0
    wide = encoding.startswith(("utf-16", "utf-32"))
    places = [n for n, byte in enumerate(content) if wide or byte > 0x7F]
    if places:
        place = data.draw(st.sampled_from(places))
        other = data.draw(st.sampled_from([b"", *(bytes([n]) for n in range(0x80, 0x100))]))
        broken = content[:place] + other + content[place + 1 :]
        assert garbled(broken, wanted, tmp_path / "a.csv", said) <= NEIGHBOURS


LETTERS = {
    "ar": "ابتثجحخدذرزسشصضطظعغفقكلمنهويىةءأإآؤئ ",
    "zh": "".join(map(chr, range(0x4E00, 0x9FA6))),
    "zh-Hant": "".join(map(chr, range(0x4E00, 0x9FA6))),
    "en": "abcdefghijklmnopqrstuvwxyz éèàçüöäßñ ",
}


@SLOW
@given(pair=st.sampled_from(PAIRS), said=st.sampled_from([*ENCODINGS]), data=st.data())
def test_random_letters_of_a_script_are_read_right_or_refused(tmp_path, pair, said, data):
    lang, encoding = pair
    known = [one for one in LETTERS[lang] if one.encode(encoding, "ignore")]
    random_text = st.text(st.sampled_from(known), min_size=1, max_size=30)
    content = table(data.draw(st.lists(random_text, min_size=1, max_size=20))).encode(encoding)
    wanted = content.decode(encoding).lstrip("\ufeff")
    assert garbled(content, wanted, tmp_path / "a.csv", said) == 0


@pytest.mark.parametrize("lang", ENCODINGS)
def test_utf_8_but_for_a_byte_is_refused_with_its_place(tmp_path, lang):
    content = "review,stars\nالطعام ممتاز جدا,1\nالطعام سيئ جدا,0\n".encode()
    (tmp_path / "a.csv").write_bytes(content[:20] + content[21:])
    with pytest.raises(ValueError, match="'a.csv', line 2, byte 7: cannot read the bytes .* in utf-8, which the rest"):
        find_encoding(tmp_path / "a.csv", lang)


def test_a_lost_byte_of_utf_16_is_told_with_its_line(tmp_path):
    content = table(["جيد جدا", "سيئ", "رائع"]).encode("utf-16-le")
    (tmp_path / "a.csv").write_bytes(content[:60] + content[61:])
    with pytest.raises(ValueError, match="'a.csv', line 3, byte .*utf-16-le"):
        find_encoding(tmp_path / "a.csv", "ar")


RUSSIAN = "Еда была очень вкусной, обслуживание быстрое. Фильм скучный и слишком длинный."
JAPANESE = "とても美味しい料理でした。また来たいです。映画は退屈で長すぎました。"


UNKNOWN = {"cp1251": RUSSIAN, "koi8-r": RUSSIAN, "shift_jis": JAPANESE, "euc_jp": JAPANESE, "mac_roman": WESTERN}


@pytest.mark.parametrize("encoding", UNKNOWN)
@pytest.mark.parametrize("lang", ENCODINGS)
def test_an_encoding_that_is_not_known_here_is_refused_and_can_be_named(tmp_path, encoding, lang):
    (tmp_path / "a.csv").write_bytes(table([UNKNOWN[encoding]]).encode(encoding, "ignore"))
    with pytest.raises(ValueError, match="'a.csv', line 2, byte .*--encoding"):
        find_encoding(tmp_path / "a.csv", lang)
    assert find_encoding(tmp_path / "a.csv", lang, encoding)


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16"])
@pytest.mark.parametrize(("lang", "old"), [("ar", "cp1256"), ("zh", "gb18030"), ("en", "latin-1")])
def test_an_old_encoding_named_for_one_table_does_not_garble_another(tmp_path, lang, old, encoding):
    """The name is for both of a training's tables, and cp1256 knows all bytes."""
    texts = {"old": reviews()[lang][:20], "new": reviews()[lang][20:40]}
    for name, one in (("old", old), ("new", encoding)):
        (tmp_path / f"{name}.csv").write_bytes(table(texts[name]).encode(one, "ignore"))
    train, valid = (TableFile(tmp_path / f"{name}.csv", encoding=old) for name in texts)
    found = read_sides(train, ["review", "stars"], lang, valid, str(tmp_path / "work"))[0]["text"][:]
    assert found[:20] == [text.encode(old, "ignore").decode(old) for text in texts["old"]]
    assert found[20:] == texts["new"]


def test_a_name_that_is_no_encoding_is_refused(tmp_path):
    (tmp_path / "a.csv").write_text("text\n")
    with pytest.raises(ValueError, match="unknown encoding 'gbk18'; expected"):
        find_encoding(tmp_path / "a.csv", "zh", "gbk18")


def test_too_few_letters_to_tell_are_refused_with_what_they_may_be(tmp_path):
    (tmp_path / "a.csv").write_bytes("review,stars\nجيد,1\n".encode("cp1256"))
    with pytest.raises(ValueError, match="cp1256: جيد.*--encoding"):
        find_encoding(tmp_path / "a.csv", "ar")
    with speaking("ar"), pytest.raises(ValueError, match="السطر 2، البايت 1: .*جيد"):
        find_encoding(tmp_path / "a.csv", "ar")


@pytest.mark.parametrize(("number", "place"), [*product([5_000, 60_000], ["start", "end"])])
def test_a_large_file_is_judged_by_all_its_parts(tmp_path, number, place):
    plain, foreign = ["nothing but plain letters"] * number, reviews()["zh"][:40]
    lines = [*foreign, *plain] if place == "start" else [*plain, *foreign]
    content = table(lines).encode("gb18030")
    assert len(content) > BLOCK or number == 5_000
    (tmp_path / "a.csv").write_bytes(content)
    assert find_encoding(tmp_path / "a.csv", "ar") == "gb18030"
