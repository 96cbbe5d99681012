"""Images: the data sets, the checkpoints that know them, and files that are no images, or odd ones."""

import filecmp
import io
import json
import shutil
from collections import Counter

import numpy as np
import pytest
import torch
from datasets import Dataset, load_dataset
from datasets import Image as ImageFeature
from PIL import Image
from sklearn.datasets import load_digits
from transformers import AutoImageProcessor, AutoModelForImageClassification, pipeline

from ftcourse.engine.assets import ASSETS, export_model
from ftcourse.engine.images import read_image
from ftcourse.engine.messages import catalogue, use_language
from ftcourse.images import encode_images, image_classifier
from ftcourse.kit import LANGS, Kit
from kit.cards import RESULTS
from kit.images import (
    ALPHABETS,
    NUM_DIGITS,
    SCRIPTS,
    TIMES,
    accuracy,
    all_fonts,
    build_data,
    few,
    fonts,
    missing_packages,
    write,
)


@pytest.fixture(scope="module")
def loaded():
    return {(name, lang): load_dataset(*Kit(lang).dataset(name)) for name in ("digits", "letters") for lang in LANGS}


@pytest.fixture(scope="module")
def model():
    return {
        name: (
            AutoModelForImageClassification.from_pretrained(Kit().model(name)).eval(),
            AutoImageProcessor.from_pretrained(Kit().model(name)),
        )
        for name in ("images", "digits")
    }


@pytest.mark.parametrize("lang", LANGS)
def test_sizes_labels_and_pixels(loaded, lang):
    digits, letters = loaded["digits", lang], loaded["letters", lang]
    alphabet = ALPHABETS[SCRIPTS[lang]]
    assert {split: len(part) for split, part in digits.items()} == NUM_DIGITS
    assert {split: len(part) for split, part in letters.items()} == {s: n * len(alphabet) for s, n in TIMES.items()}
    assert letters["train"].features["label"].names == list(alphabet)
    for dataset, side in ((digits, 8), (letters, 32)):
        for part in dataset.values():
            assert {(image.mode, image.size) for image in part["image"]} == {("L", (side, side))}
            counts = Counter(part["label"])
            assert max(counts.values()) - min(counts.values()) <= 0.15 * max(counts.values())


@pytest.mark.parametrize("lang", ["en", "ar", "zh"])
def test_no_font_and_no_image_stands_in_two_splits(loaded, lang):
    letters, digits = loaded["letters", lang], loaded["digits", lang]
    used = {split: set(part["font"]) for split, part in letters.items()}
    assert used == {split: {font.name for font in fonts(SCRIPTS[lang], split)} for split in TIMES}
    assert len(used["test"]) >= 4 and len(set.union(*used.values())) == sum(map(len, used.values()))
    for dataset in (letters, digits):
        seen = Counter(image.tobytes() for part in dataset.values() for image in part["image"])
        assert len(seen) == seen.total()


def test_every_font_has_a_licence_and_one_split():
    assert len(all_fonts()) > 80 and all(font.licence and font.package for font in all_fonts())
    splits = {(font.script, font.file): font.split for font in all_fonts()}
    assert all(splits[font.script, font.file] == font.split for font in all_fonts())


def test_the_digits_are_those_of_scikit_learn(tmp_path, loaded):
    write("digits", tmp_path / "digits")
    assert not different(tmp_path, "digits")
    images, labels = load_digits(return_X_y=True)
    known = {pixels.tobytes(): label for pixels, label in zip(np.uint8(255 - images * 255 // 16), labels, strict=True)}
    rows = [row for part in loaded["digits", "en"].values() for row in part]
    assert len(rows) == 1797 and all(known[row["image"].tobytes()] == row["label"] for row in rows)


def different(folder, name: str) -> list[str]:
    shipped = [p.relative_to(ASSETS / "data") for p in sorted((ASSETS / "data" / name).rglob("*")) if p.is_file()]
    assert len(shipped) >= 4
    assert shipped == [p.relative_to(folder) for p in sorted((folder / name).rglob("*")) if p.is_file()]
    _, unlike, errors = filecmp.cmpfiles(ASSETS / "data", folder, map(str, shipped), shallow=False)
    return unlike + errors


@pytest.mark.skipif(bool(missing_packages()), reason=f"fonts are missing: apt install {' '.join(missing_packages())}")
def test_drawing_again_gives_the_same_bytes(tmp_path):
    build_data(tmp_path)
    assert not different(tmp_path, "letters")


def test_digits_are_read(loaded, model):
    found = accuracy(*model["digits"], loaded["digits", "en"]["test"])
    assert found >= 0.97
    assert json.loads(RESULTS.read_text())["digits test"] == [pytest.approx(found, abs=0.005)]


def test_letters_are_read_in_fonts_that_were_never_seen(loaded, model):
    results, right = json.loads(RESULTS.read_text()), {}
    for lang in ("en", "ar", "zh"):
        test = loaded["letters", lang]["test"]
        found = accuracy(*model["images"], test)
        assert found >= 0.86, lang
        assert results[f"letters {lang} test"] == [pytest.approx(found, abs=0.005)]
        right[lang] = found * len(test)
    assert sum(right.values()) / sum(len(loaded["letters", lang]["test"]) for lang in right) >= 0.90


def test_with_few_labels_the_pretrained_network_is_ahead():
    assert few(100, 0, pretrained=True) > few(100, 0, pretrained=False) + 0.05


def test_the_pipeline_answers_with_the_names_of_the_labels(loaded):
    classify = pipeline("image-classification", model=Kit().model("digits"))
    rows = loaded["digits", "ar"]["test"][:50]
    answers = [answer[0]["label"] for answer in classify(rows["image"])]
    assert sum(answer == str(label) for answer, label in zip(answers, rows["label"], strict=True)) >= 46


@pytest.mark.parametrize("name", ["images", "digits"])
def test_checkpoints_are_plain_and_small(name, model, tmp_path):
    folder = ASSETS / "models" / name
    assert sum(file.stat().st_size for file in folder.iterdir()) <= 3_000_000
    assert {file.suffix for file in folder.iterdir()} == {".json", ".safetensors", ".md"}
    assert "auto_map" not in json.loads((folder / "config.json").read_text())
    assert {str(parameter.dtype) for parameter in model[name][0].parameters()} == {"torch.float32"}
    assert (export_model(name, tmp_path / "alone") / "model.safetensors").is_file()


def test_see_through_parts_turn_white(tmp_path):
    ink = Image.new("RGBA", (8, 8), (0, 0, 0, 0))
    ink.putpixel((3, 3), (255, 0, 0, 255))
    ink.save(tmp_path / "a.png")
    image = read_image(tmp_path / "a.png")
    assert image.mode == "RGB" and image.getpixel((0, 0)) == (255, 255, 255) and image.getpixel((3, 3)) == (255, 0, 0)
    palette = Image.new("P", (8, 8), 1)
    palette.putpalette([255, 0, 0, 0, 255, 0])
    palette.putpixel((3, 3), 0)
    palette.save(tmp_path / "p.png", transparency=1)
    image = read_image(tmp_path / "p.png")
    assert image.getpixel((0, 0)) == (255, 255, 255) and image.getpixel((3, 3)) == (255, 0, 0)


def test_sixteen_bits_keep_their_shades(tmp_path):
    shades = np.linspace(0, 65535, 64).astype(np.uint16).reshape(8, 8)
    for name in ("a.png", "a.tiff"):
        Image.fromarray(shades).save(tmp_path / name)
        grey = np.asarray(read_image(tmp_path / name))[..., 0]
        assert np.abs(grey / 255 - shades / 65535).max() < 0.01
    Image.fromarray(shades.astype(np.float32)).save(tmp_path / "float.tiff")
    assert len(np.unique(np.asarray(read_image(tmp_path / "float.tiff")))) > 60


def test_a_photo_that_lies_on_its_side_is_turned(tmp_path):
    exif = Image.Exif()
    exif[0x0112] = 6
    Image.new("RGB", (8, 20)).save(tmp_path / "a.jpg", exif=exif)
    assert read_image(tmp_path / "a.jpg").size == (20, 8)


def bad_files(folder) -> dict:
    whole = io.BytesIO()
    Image.fromarray(np.random.default_rng(0).integers(0, 255, (64, 64), dtype=np.uint8)).save(whole, "PNG")
    Image.new("RGB", (1, 1)).save(folder / "dot.png")
    Image.new("1", (40_000, 5_000)).save(folder / "huge.png")
    contents = {
        "letter.png": "Dear Sir, هذا نصّ، 这是文字".encode(),
        "long.png": ("字" * 5000).encode(),
        "nothing.png": b"",
        "phone.heic": b"\0\0\0\x18ftypheic" + bytes(range(256)),
        "half.png": whole.getvalue()[: len(whole.getvalue()) // 2],
    }
    for name, content in contents.items():
        (folder / name).write_bytes(content)
    return {
        "letter.png": "text",
        "long.png": "text",
        "nothing.png": "empty",
        "phone.heic": "unknown",
        "half.png": "damaged",
        "dot.png": "too_small",
        "huge.png": "too_large",
        "none.png": "no_file",
        ".": "folder",
    }


@pytest.mark.parametrize("lang", LANGS)
def test_what_is_no_image_is_told_in_the_words_of_the_language(tmp_path, lang):
    words = catalogue(lang, "errors")
    use_language(lang)
    for name, key in bad_files(tmp_path).items():
        with pytest.raises((ValueError, FileNotFoundError)) as caught:
            read_image(tmp_path / name)
        text = words[key if key == "no_file" else f"image_{key}"]
        said = text.split("{")[0] or text.split("}")[1].split("{")[0]
        assert said and said in str(caught.value), (name, str(caught.value))
        assert tmp_path.name in str(caught.value) if name == "." else name in str(caught.value)


def test_missing_fonts_are_named(monkeypatch, tmp_path):
    monkeypatch.setattr("kit.images.FONTS", tmp_path)
    with pytest.raises(FileNotFoundError, match="apt install fonts-.*fonts-noto-cjk"):
        build_data(tmp_path / "data")
    assert not (tmp_path / "data").exists()


def test_a_damaged_checkpoint_is_found(monkeypatch, tmp_path):
    from ftcourse.engine import assets

    shutil.copytree(ASSETS / "models" / "digits", tmp_path / "models" / "digits")
    shutil.copy(ASSETS / "manifest.json", tmp_path)
    (tmp_path / "models/digits/model.safetensors").write_bytes(b"broken")
    monkeypatch.setattr(assets, "ASSETS", tmp_path)
    assets.check_folder.cache_clear()
    with pytest.raises(OSError, match=r"was altered: .*digits.*model\.safetensors.*Restore the kit"):
        Kit().model("digits")
    assets.check_folder.cache_clear()


@pytest.mark.parametrize(("old", "new"), [("image", "photo"), ("label", "digit")])
def test_images_to_train_on_without_their_column_are_refused(loaded, model, old, new):
    rows = loaded["digits", "en"]["test"].rename_column(old, new)
    with pytest.raises(ValueError, match=f"no column '{old}'.*'{new}'.*rename_column"):
        encode_images(rows, model["images"][1])


def test_images_to_train_on_are_what_reading_them_gives(tmp_path, model):
    """Ink on nothing, and shades of sixteen bits."""
    ink = Image.new("RGBA", (8, 8), (0, 0, 0, 0))
    ink.putpixel((3, 3), (0, 0, 0, 255))
    shades = Image.fromarray(np.linspace(300, 60_000, 64).astype(np.uint16).reshape(8, 8))
    paths = [str(tmp_path / name) for name in ("ink.png", "shades.png")]
    for image, path in zip((ink, shades), paths, strict=True):
        image.save(path)
    rows = Dataset.from_dict({"image": paths, "label": [0, 1]}).cast_column("image", ImageFeature())
    processor = model["images"][1]
    for path, row in zip(paths, encode_images(rows, processor), strict=True):
        pixels = processor(read_image(path), return_tensors="pt")["pixel_values"][0]
        assert torch.equal(row["pixel_values"], pixels) and pixels.unique().numel() > 1


def test_a_new_head_on_weights_in_half_is_trained_in_32_bits(tmp_path, model):
    model["images"][0].half().save_pretrained(tmp_path / "half")
    model["images"][0].float()
    made = image_classifier(str(tmp_path / "half"), ["cat", "dog"])
    assert {parameter.dtype for parameter in made.parameters()} == {torch.float32}
