"""Kit: what it hands out, and what it says when something is wrong."""

import hashlib
import json
import os
import shutil
import subprocess
import sys
import time

import pytest
import torch
from fontTools.ttLib import TTFont
from transformers import AutoModel, AutoTokenizer, pipeline

from ftcourse.engine import assets, hub
from ftcourse.engine.assets import ASSETS, check_folder, export_model, manifest
from ftcourse.engine.fetch import NOT_IN_KIT
from ftcourse.inference import Predictor
from ftcourse.kit import LANGS, NAMES, Kit
from kit.fonts import FACES, characters, target
from kit.writer import BEGINNINGS, SEEDS

CHECKPOINTS = ("encoder", "stars", "sentiment", "writer", "speech")


@pytest.fixture
def copied_kit(tmp_path, monkeypatch):
    """A copy of the kit's metrics, to be damaged."""
    shutil.copytree(ASSETS / "metrics", tmp_path / "metrics")
    shutil.copy(ASSETS / "manifest.json", tmp_path)
    monkeypatch.setattr(assets, "ASSETS", tmp_path)
    for function in (manifest, check_folder):
        function.cache_clear()
    yield tmp_path
    for function in (manifest, check_folder):
        function.cache_clear()


def test_manifest_lists_every_file():
    files = {
        p.relative_to(ASSETS).as_posix() for p in ASSETS.rglob("*") if p.is_file() and "__pycache__" not in p.parts
    }
    assert len(files) > 50
    assert files - {"manifest.json"} == set(manifest())
    for path, entry in manifest().items():
        data = (ASSETS / path).read_bytes()
        assert (len(data), hashlib.sha256(data).hexdigest()) == (entry["bytes"], entry["sha256"])


def test_manifest_holds_the_results():
    results = json.loads((ASSETS / "manifest.json").read_text())["results"]
    assert all(f"natural {lang} 300 encoder" in results for lang in LANGS)


@pytest.mark.parametrize("lang", FACES)
def test_the_font_for_pictures_has_every_chinese_character_of_the_texts(lang):
    wanted = {character for character in characters(lang) if "\u4e00" <= character <= "\u9fff"}
    assert len(wanted) > 2000
    assert wanted <= {chr(code) for code in TTFont(target(lang)).getBestCmap()}


def test_the_card_of_the_writer_shows_every_continuation():
    card = (ASSETS / "models" / "writer" / "README.md").read_text(encoding="utf-8")
    shown = [line.removeprefix("1. ") for line in card.splitlines() if line.startswith("1. ")]
    wanted = [beginning for beginnings in BEGINNINGS.values() for beginning in beginnings for _ in SEEDS]
    assert len(wanted) == len(LANGS) * 50
    assert len(shown) == len(wanted) and all(map(str.startswith, shown, wanted))


def test_every_name_has_a_place():
    for lang in LANGS:
        kit = Kit(lang)
        assert all(os.path.isdir(kit.dataset(name)[0]) and kit.dataset(name)[1] == lang for name in NAMES["dataset"])
        assert all(os.path.isdir(kit.model(name)) for name in NAMES["model"] if name not in NOT_IN_KIT)
        assert all(os.path.isdir(kit.metric(name)[0]) for name in NAMES["metric"])


def test_checkpoints_are_small_together():
    sizes = [file.stat().st_size for file in (ASSETS / "models").rglob("*") if file.is_file()]
    assert len(sizes) > 15 and sum(sizes) <= 80_000_000


@pytest.mark.parametrize("name", CHECKPOINTS)
def test_checkpoints_are_plain(name):
    folder = ASSETS / "models" / name
    assert list(folder.glob("*.safetensors")) and (folder / "README.md").is_file()
    assert (folder / "NOTICE").is_file() == (name not in {"writer", "speech"})
    assert not [file for file in folder.iterdir() if file.suffix in {".bin", ".pt", ".pkl", ".py"}]
    assert "auto_map" not in json.loads((folder / "config.json").read_text())


@pytest.mark.parametrize(
    ("call", "said"),
    [
        (lambda: Kit("fr"), "unknown language 'fr'; known: en, ar, zh, zh-Hant"),
        (lambda: Kit(None), "unknown language None"),
        (lambda: Kit("en", source="disk"), "unknown source 'disk'; known: kit, hub"),
        (
            lambda: Kit().dataset("imdb"),
            "unknown dataset 'imdb'; known: reviews, films, pairs, natural, digits, letters, speech, replies",
        ),
        (
            lambda: Kit().model("bert"),
            "unknown model 'bert'; known: encoder, stars, sentiment, writer, images, digits, speech",
        ),
        (lambda: Kit().metric("bleu"), "unknown metric 'bleu'; known: accuracy, f1, mrpc"),
    ],
)
def test_unknown_names_are_told_the_known_ones(call, said):
    with pytest.raises(ValueError, match=said):
        call()


def test_the_environment_sets_the_default_source(monkeypatch):
    monkeypatch.setenv("FTCOURSE_SOURCE", "disk")
    with pytest.raises(ValueError, match="unknown source 'disk'"):
        Kit()
    assert Kit(source="kit").source == "kit"


def test_a_missing_file_is_named(copied_kit):
    (copied_kit / "metrics/f1/f1.py").unlink()
    with pytest.raises(FileNotFoundError, match=r"f1\.py.*Restore the kit"):
        Kit().metric("f1")
    assert Kit().metric("accuracy")


def test_an_altered_file_is_named(copied_kit):
    with open(copied_kit / "metrics/f1/f1.py", "a") as file:
        file.write("#")
    with pytest.raises(OSError, match=r"was altered: .*f1\.py.*Restore the kit"):
        Kit().metric("f1")


@pytest.mark.parametrize("content", [None, "{", "{}"])
def test_a_missing_or_damaged_list_is_named(copied_kit, content):
    path = copied_kit / "manifest.json"
    path.unlink() if content is None else path.write_text(content)
    with pytest.raises(OSError, match=r"list of files is (missing|damaged): .*manifest\.json.*Restore the kit"):
        Kit().metric("f1")


def test_the_hub_out_of_reach_is_said_within_seconds():
    environment = {**os.environ, "FTCOURSE_SOURCE": "hub", "HF_ENDPOINT": "http://127.0.0.1:9", "HF_HUB_OFFLINE": "0"}
    started = time.monotonic()
    script = "from ftcourse.kit import Kit; Kit('en')"
    done = subprocess.run([sys.executable, "-c", script], env=environment, capture_output=True, text=True, timeout=60)
    assert done.returncode == 1 and time.monotonic() - started < 30
    assert "cannot be reached" in done.stderr and 'source="kit"' in done.stderr


def test_hub_names(monkeypatch):
    monkeypatch.setattr(hub, "check_hub", lambda: None)
    english, arabic = Kit("en", source="hub"), Kit("ar", source="hub")
    assert english.dataset("reviews") == ("Yelp/yelp_review_full",)
    assert english.model("encoder") == "google-bert/bert-base-cased"
    assert arabic.model("encoder") == "google-bert/bert-base-multilingual-cased"
    assert english.metric("mrpc") == ("glue", "mrpc")
    assert os.environ["HF_HUB_OFFLINE"] == "0"
    assert Kit("en", source="kit") and os.environ["HF_HUB_OFFLINE"] == "1"


def test_natural_comes_from_the_kit_in_any_case(monkeypatch):
    monkeypatch.setattr(hub, "check_hub", lambda: None)
    assert Kit("ar", source="hub").dataset("natural") == Kit("ar", source="kit").dataset("natural")


def test_importing_the_package_imports_nothing_heavy():
    script = "import sys, ftcourse, ftcourse.kit; print(*sorted({m.partition('.')[0] for m in sys.modules}))"
    modules = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True).stdout.split()
    assert "ftcourse" in modules
    assert not {"torch", "transformers", "datasets", "evaluate", "matplotlib", "sklearn", "numpy", "pandas"} & set(
        modules
    )


def test_the_tokenizer_knows_everyday_words_and_no_text_is_unknown_to_it():
    tokenizer = AutoTokenizer.from_pretrained(Kit().model("encoder"))
    for word in ("café", "kitchen", "delicious", "مطعم", "الاكل", "好吃", "餐厅", "餐廳"):
        assert len(tokenizer.tokenize(word.strip())) <= 2, word
    for text in ("كبسة", "naïve 🔥", "Привет", "ขอบคุณ", "𠮷"):
        ids = tokenizer(text)["input_ids"]
        assert tokenizer.unk_token_id not in ids and len(ids) > 2
    pair = tokenizer("a", "b")
    assert tokenizer.convert_ids_to_tokens(pair["input_ids"])[0] == "[CLS]" and pair["token_type_ids"][-1] == 1


@pytest.mark.parametrize(
    ("text", "likely"),
    [
        ("She opened the [MASK] and looked outside.", {"door", "window", "house"}),
        ("القاهرة هي عاصمة [MASK].", {"مصر"}),
        ("这家酒店的房间很[MASK]。", {"不错", "舒服", "好", "差"}),
    ],
)
def test_it_guesses_hidden_words(text, likely):
    fill = pipeline("fill-mask", model=Kit().model("encoder"))
    assert likely & {offer["token_str"].strip() for offer in fill(text)}


@pytest.mark.parametrize(
    "spellings",
    [
        ("الأكل جميل جدًّا", "الاكل جميل جدا", "الأكـــل جَميل جدًا", "\u200fالأكل جميل جدا"),
        ("خدمة رائعة إلى الآن", "خدمه رائعه الي الان"),
        ("حلو", "حلووو", "حلوووووووو"),
        ("٥ من ٥", "5 من 5"),
        ("This was GREAT", "this was great"),
    ],
)
def test_spelling_makes_no_difference(spellings):
    tokenizer = AutoTokenizer.from_pretrained(Kit().model("encoder"))
    assert len({tuple(tokenizer(text)["input_ids"]) for text in spellings}) == 1


def test_weights_are_read_in_float32():
    for name in ("encoder", "stars", "sentiment"):
        model = AutoModel.from_pretrained(Kit().model(name))
        assert {parameter.dtype for parameter in model.parameters()} == {torch.float32}
        assert model.config.hidden_dropout_prob > 0


def test_a_damaged_encoder_is_found_where_stars_are_asked_for(tmp_path, monkeypatch):
    shutil.copytree(ASSETS / "models" / "stars", tmp_path / "models" / "stars")
    (tmp_path / "models" / "encoder").mkdir()
    (tmp_path / "models" / "encoder" / "shared.safetensors").write_bytes(b"broken")
    shutil.copy(ASSETS / "manifest.json", tmp_path)
    monkeypatch.setattr(assets, "ASSETS", tmp_path)
    check_folder.cache_clear()
    with pytest.raises(OSError, match=r"was altered: .*encoder.*shared\.safetensors.*Restore the kit"):
        Kit().model("stars")
    check_folder.cache_clear()


def test_a_folder_copied_alone_fails_with_a_clear_line(tmp_path):
    shutil.copytree(ASSETS / "models" / "stars", tmp_path / "stars")
    with pytest.raises(ValueError, match=r"shared\.safetensors is missing.*ftcourse export stars DIR"):
        Predictor(tmp_path / "stars")


@pytest.mark.parametrize("name", CHECKPOINTS)
def test_an_exported_model_is_whole_and_the_same(name, tmp_path):
    folder = export_model(name, tmp_path / "alone")
    assert (folder / "model.safetensors").is_file() and not list(folder.glob("*.index.json"))
    own, alone = (AutoModel.from_pretrained(place).state_dict() for place in (Kit().model(name), folder))
    assert own and own.keys() == alone.keys() and all(torch.equal(own[key], alone[key]) for key in own)
    with pytest.raises(FileExistsError, match="nothing is overwritten"):
        export_model(name, folder)


def test_only_models_of_the_kit_can_be_exported(tmp_path):
    with pytest.raises(ValueError, match="unknown model 'bert'; known: .*encoder"):
        export_model("bert", tmp_path / "x")
