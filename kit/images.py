"""Images: handwritten digits, letters drawn from free fonts, and a small ViT that learns to tell them apart.

`python -m kit.images` rebuilds the data sets `digits` and `letters`; the same fonts give the same bytes. The
checkpoints `images` (78 letters of three scripts) and `digits` (the same network, tuned on digits) are built by
`python -m kit.checkpoints images`, from drawings in the fonts that `letterfonts.tsv` gives to training, and measured by
`python -m kit.evaluate`.
"""

import csv
import io
import random
import shutil
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import numpy as np
import torch
from datasets import ClassLabel, Dataset, Features, Image, Value, disable_progress_bars, load_dataset
from PIL import Image as Picture
from PIL import ImageDraw, ImageFilter, ImageFont
from safetensors.torch import load_file, save_file
from sklearn.datasets import load_digits
from sklearn.model_selection import train_test_split
from torch.nn.functional import affine_grid, avg_pool2d, cross_entropy, grid_sample, interpolate
from transformers import AutoImageProcessor, AutoModelForImageClassification, ViTConfig, ViTForImageClassification
from transformers.models.vit.image_processing_pil_vit import ViTImageProcessorPil

from ftcourse.engine.assets import WHOLE
from ftcourse.kit import LANGS, Kit
from kit.data import ASSETS, CARD, config_lines
from kit.training import optimize, seed_everything

FONTS = Path("/usr/share/fonts")  # where the packages of `letterfonts.tsv` lay them
TABLE = Path(__file__).with_name("letterfonts.tsv")
ALPHABETS = {
    "latin": "ABCDEFGHIJKLMNOPQRSTUVWXYZ",
    "arabic": "ابتثجحخدذرزسشصضطظعغفقكلمنهوي",
    "han": "人口手日月水火山石田土木雨天女子大小上中下心目耳",  # the same in both kinds of Chinese
}
SCRIPTS = {"en": "latin", "ar": "arabic", "zh": "han", "zh-Hant": "han"}
LETTERS = "".join(ALPHABETS.values())
DIGITS = "0123456789"
TIMES = {"train": 40, "validation": 10, "test": 20}  # drawings of each letter
NUM_DIGITS = {"train": 1_000, "validation": 297, "test": 500}

SIZE, DRAWN, GLYPH = 32, 128, 128  # pixels: of an image, of the sheet it is drawn on, of a letter in its font
SHADES = 16  # of grey: what an image needs, and noise in few shades can be packed
NETWORK = {
    "image_size": SIZE,
    "patch_size": 8,
    "hidden_size": 128,
    "num_hidden_layers": 4,
    "num_attention_heads": 4,
    "intermediate_size": 384,
}
BATCH_SIZE, SMOOTHING = 64, 0.05


@dataclass(frozen=True)
class Round:
    """A part of the training, on fresh drawings: how many of each letter, by script."""

    drawings: dict[str, int]
    steps: int
    lr: float


ROUNDS = (
    Round({"latin": 400, "arabic": 400, "han": 400}, 4_000, 1.5e-3),
    Round({"latin": 250, "arabic": 500, "han": 250}, 2_000, 8e-4),
    Round({"latin": 500, "arabic": 1_000, "han": 200}, 4_500, 8e-4),
)
TUNING = {"steps": 800, "batch_size": 64, "lr": 5e-4, "drawn": 100}
COARSE = 0.1  # share of the drawings that are shown as coarsely as the digits are
FEW = {"labels": (50, 100, 300), "epochs": 20, "batch_size": 16, "lr": 3e-4}


class NoFonts(FileNotFoundError):
    """Fonts that the drawings need are not installed."""


@dataclass(frozen=True)
class Font:
    """A face that letters of a script are drawn with, in one split only."""

    script: str
    split: str
    file: str
    face: str
    package: str
    licence: str

    @property
    def name(self) -> str:
        """What the data set calls it: the file's name without the ending."""
        return Path(self.file).stem


@cache
def all_fonts() -> list[Font]:
    """The table, row by row."""
    with open(TABLE, encoding="utf-8", newline="") as file:
        return [Font(**row) for row in csv.DictReader(file, delimiter="\t")]


def fonts(script: str, split: str) -> list[Font]:
    """The fonts of a script that a split is drawn with.

    >>> [font.name for font in fonts("han", "test")]
    ['LXGWWenKai-Regular', 'TW-Kai-98_1', 'wqy-zenhei', 'YuseiMagic-Regular']
    """
    return [font for font in all_fonts() if (font.script, font.split) == (script, split)]


def missing_packages() -> list[str]:
    """The packages whose fonts are not installed here."""
    return sorted({font.package for font in all_fonts() if not (FONTS / font.file).is_file()})


@cache
def glyph(font: Font, character: str) -> Picture.Image:
    """A letter in white on black, without margins."""
    try:
        face = ImageFont.truetype(FONTS / font.file, GLYPH, int(font.face), layout_engine=ImageFont.Layout.BASIC)
    except OSError:
        raise NoFonts(f"{FONTS / font.file} is missing: apt install {' '.join(missing_packages())}") from None
    sheet = Picture.new("L", (4 * GLYPH, 4 * GLYPH))
    ImageDraw.Draw(sheet).text((2 * GLYPH, 2 * GLYPH), character, font=face, fill=255, anchor="mm")
    return sheet.crop(sheet.getbbox())


def draw(font: Font, character: str, rng: random.Random) -> np.ndarray:
    """A letter as an image, dark on light: turned, slanted, moved, in thicker or thinner strokes, with noise."""
    ink = glyph(font, character)
    longest = rng.uniform(0.72, 0.9) * DRAWN
    scale_x, scale_y = (longest / max(ink.size) * rng.uniform(0.9, 1.1) for _ in range(2))
    angle, slant = np.radians(rng.gauss(0, 5)), rng.gauss(0, 0.08)
    turn = np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
    back = np.linalg.inv(turn @ np.array([[scale_x, slant * scale_y], [0, scale_y]]))  # from the sheet to the glyph
    center = DRAWN / 2 + np.array([rng.uniform(-0.05, 0.05) * DRAWN for _ in range(2)])
    shift = np.array(ink.size) / 2 - back @ center
    matrix = (back[0, 0], back[0, 1], shift[0], back[1, 0], back[1, 1], shift[1])
    sheet = ink.transform((DRAWN, DRAWN), Picture.Transform.AFFINE, matrix, Picture.Resampling.BILINEAR)
    strokes = rng.random()
    if strokes < 0.3:
        sheet = sheet.filter(ImageFilter.MaxFilter(rng.choice([3, 5, 7])))
    elif strokes > 0.9:
        sheet = sheet.filter(ImageFilter.MinFilter(3))
    image = sheet.filter(ImageFilter.GaussianBlur(rng.uniform(0, 2.5))).reduce(DRAWN // SIZE)
    paper, dark = rng.uniform(190, 255), rng.uniform(0, 90)
    noise = np.random.default_rng(rng.getrandbits(64)).normal(0, rng.uniform(2, 16), (SIZE, SIZE))
    grey = paper + (dark - paper) * np.asarray(image) / 255 + noise
    step = 255 // (SHADES - 1)
    return (np.clip(np.rint(grey / step), 0, SHADES - 1) * step).astype(np.uint8)


def png(pixels: np.ndarray) -> dict:
    """Pixels as `datasets` keeps an image."""
    file = io.BytesIO()
    Picture.fromarray(pixels).save(file, "PNG", optimize=True)
    return {"bytes": file.getvalue(), "path": None}


def letter_rows(script: str, split: str) -> list[dict]:
    """The drawings of a script's split, in an order of chance; each font as often as any other."""
    rng = random.Random(f"{script} {split}")
    rows = []
    for label, character in enumerate(ALPHABETS[script]):
        faces = fonts(script, split)
        for font in (faces[(label + i) % len(faces)] for i in range(TIMES[split])):
            rows.append({"image": png(draw(font, character, rng)), "label": label, "font": font.name})
    rng.shuffle(rows)
    return rows


def digit_rows() -> dict[str, list[dict]]:
    """The digits of scikit-learn, as 8 x 8 pixels of 17 shades, dark on light, a tenth a digit in every split."""
    pixels, labels = load_digits(return_X_y=True)
    pixels = (255 - pixels.reshape(-1, 8, 8) * 255 // 16).astype(np.uint8)
    rest, test = train_test_split(range(len(labels)), test_size=NUM_DIGITS["test"], stratify=labels, random_state=0)
    train, validation = train_test_split(
        rest, test_size=NUM_DIGITS["validation"], stratify=labels[rest], random_state=0
    )
    splits = {"train": train, "validation": validation, "test": test}
    return {
        split: [{"image": png(pixels[i]), "label": int(labels[i])} for i in chosen] for split, chosen in splits.items()
    }


DIGITS_SUMMARY = """Handwritten digits: images of 8 × 8 pixels (`image`), dark on light, and which digit it is
(`label`). Stands in for `ylecun/mnist`, which is white on black."""
DIGITS_ORIGIN = """These are the 1,797 digits that scikit-learn brings (`load_digits`): the test set of "Optical
Recognition of Handwritten Digits" (E. Alpaydin and C. Kaynak, UCI Machine Learning Repository, CC BY 4.0). 13 people
wrote them on forms, which were scanned and reduced to 8 × 8 counts from 0 to 16. Who wrote which digit is not known:
the same hand may stand in several splits."""
LETTERS_SUMMARY = """Letters of one script a language, drawn from fonts on 32 × 32 pixels (`image`), which letter it is
(`label`), and the font (`font`): 26 Latin capitals, 28 Arabic letters as they stand alone, 24 Han characters that are
the same in Simplified and Traditional Chinese. **No font occurs in two splits**: `test` asks whether a model knows the
letter or the font."""
LETTERS_ORIGIN = """Drawn by `kit/images.py` from free fonts of Debian, each letter turned, slanted, moved, thickened or
thinned, in two greys, with noise. What ships are pictures of letters, no font. They were drawn with:

{fonts}

TW-Kai and TW-Sung are the fonts of CNS 11643 (全字庫) of Taiwan's Ministry of Digital Affairs."""


def font_list() -> str:
    """The fonts by script, split and licence, as a table of Markdown."""
    lines = ["| script | split | fonts (licence) |", "| --- | --- | --- |"]
    for script in ALPHABETS:
        for split in TIMES:
            listed = ", ".join(f"{font.name} ({font.licence})" for font in fonts(script, split))
            lines.append(f"| {script} | {split} | {listed} |")
    return "\n".join(lines)


def write(name: str, directory: Path) -> None:
    """A data set and its card, anew. Languages that have the same images share their files."""
    shutil.rmtree(directory, ignore_errors=True)
    if name == "digits":
        names, folders, tables = list(DIGITS), dict.fromkeys(LANGS, "all"), {"all": digit_rows()}
        texts = {"summary": DIGITS_SUMMARY, "origin": DIGITS_ORIGIN, "licence": "cc-by-4.0"}
        texts["languages"] = "The same in every language."
    else:
        folders = {lang: lang.removesuffix("-Hant") for lang in LANGS}
        tables = {lang: {split: letter_rows(SCRIPTS[lang], split) for split in TIMES} for lang in set(folders.values())}
        texts = {
            "summary": LETTERS_SUMMARY,
            "origin": LETTERS_ORIGIN.format(fonts=font_list()),
            "licence": "apache-2.0",
        }
        texts["languages"] = "Languages: `en` (Latin), `ar` (Arabic), `zh` and `zh-Hant` (Han, the same files)."
    counts, configs = {}, []
    for lang, folder in folders.items():
        if name == "letters":
            names = list(ALPHABETS[SCRIPTS[lang]])
        features = Features({"image": Image(), "label": ClassLabel(names=names)})
        if name == "letters":
            features["font"] = Value("string")
        for split, rows in tables[folder].items():
            path = directory / folder / f"{split}.parquet"
            path.parent.mkdir(parents=True, exist_ok=True)
            if not path.exists():
                Dataset.from_list(rows, features=features).to_parquet(path)
            counts.setdefault(split, []).append(f"{len(rows):,}")
        configs += config_lines(lang, directory / folder, tables[folder])
    rows = ", ".join(f"{' / '.join(dict.fromkeys(numbers))} {split}" for split, numbers in counts.items())
    card = CARD.format(name=name, task="image-classification", configs="\n".join(configs), rows=rows, **texts)
    (directory / "README.md").write_text(card, encoding="utf-8")


def build_data(directory: Path = ASSETS / "data") -> None:
    """`digits` and, where the fonts are, `letters`, anew."""
    disable_progress_bars()
    if missing := missing_packages():
        raise NoFonts(f"letters cannot be drawn: apt install {' '.join(missing)}")
    for name in ("digits", "letters"):
        write(name, directory / name)


def pool(alphabets: dict[str, str], times: dict[str, int], name: str) -> tuple[torch.Tensor, torch.Tensor]:
    """Drawings to train on, in the fonts of training: images (number, 32, 32) from 0 to 1, and labels."""
    rng = random.Random(name)
    images, labels = [], []
    for script, characters in alphabets.items():
        for character in characters:
            label = len(set(labels))
            for _ in range(times[script]):
                images.append(draw(rng.choice(fonts(script, "train")), character, rng))
                labels.append(label)
    return torch.from_numpy(np.stack(images)).float() / 255, torch.tensor(labels)


def pixel_values(images: torch.Tensor, generator: torch.Generator) -> torch.Tensor:
    """Images as the network takes them; some are as coarse as the digits."""
    number = len(images)
    coarse = interpolate(avg_pool2d(images[:, None], SIZE // 8), SIZE, mode="bilinear")[:, 0]
    images = torch.where((torch.rand(number, generator=generator) < COARSE)[:, None, None], coarse, images)
    return (images * 2 - 1)[:, None].expand(-1, 3, -1, -1)


def moved(images: torch.Tensor, generator: torch.Generator) -> torch.Tensor:
    """Images turned, stretched and moved a little."""
    number = len(images)
    angle = torch.randn(number, generator=generator) * 0.12
    scale = 1 + (torch.rand(number, 2, generator=generator) - 0.5) * 0.3
    shift = (torch.rand(number, 2, generator=generator) - 0.5) * 0.25
    cos, sin = torch.cos(angle), torch.sin(angle)
    rows = [cos * scale[:, 0], -sin * scale[:, 1], shift[:, 0]], [sin * scale[:, 0], cos * scale[:, 1], shift[:, 1]]
    theta = torch.stack([torch.stack(row, -1) for row in rows], 1)
    grid = affine_grid(theta, [number, 1, SIZE, SIZE], align_corners=False)
    return grid_sample(images[:, None], grid, padding_mode="border", align_corners=False)[:, 0]


def losses(model, images: torch.Tensor, labels: torch.Tensor, batch_size: int, move: bool) -> Iterator[torch.Tensor]:
    """Losses over shuffled batches, without end."""
    generator = torch.Generator().manual_seed(0)
    while True:
        for rows in torch.randperm(len(labels), generator=generator).split(batch_size)[: len(labels) // batch_size]:
            chosen = moved(images[rows], generator) if move else images[rows]
            logits = model(pixel_values=pixel_values(chosen, generator)).logits
            yield cross_entropy(logits, labels[rows], label_smoothing=SMOOTHING)


def processor() -> ViTImageProcessorPil:
    """What makes pixel values of an image of any size: 32 x 32, from -1 to 1, in three channels."""
    half = [0.5] * 3
    return ViTImageProcessorPil(
        size={"height": SIZE, "width": SIZE}, image_mean=half, image_std=half, do_convert_rgb=True
    )


def named(names: str) -> dict:
    """What a configuration says about labels."""
    return {"id2label": dict(enumerate(names)), "label2id": {name: i for i, name in enumerate(names)}}


def save(model: ViTForImageClassification, directory: Path) -> None:
    """Network and processor, in half precision; the configuration says float32, so training starts in it."""
    model.save_pretrained(directory)
    processor().save_pretrained(directory)
    weights = {name: weight.half() for name, weight in load_file(directory / WHOLE).items()}
    save_file(weights, directory / WHOLE, metadata={"format": "pt"})


def build_images(folder: Path, texts: Path | None = None) -> None:
    """`images`, trained from scratch on drawings of letters, and `digits`, tuned from it."""
    seed_everything(0)
    model = ViTForImageClassification(ViTConfig(**NETWORK, **named(LETTERS), dtype="float32"))
    for number, part in enumerate(ROUNDS):
        images, labels = pool(ALPHABETS, part.drawings, "letters" if number == 0 else f"letters {number}")
        batches = losses(model, images, labels, BATCH_SIZE, False)
        optimize(model, batches, part.steps, lr=part.lr, name=f"images {number + 1}")
        save(model, folder / "images")
        model = ViTForImageClassification.from_pretrained(folder / "images")

    model = ViTForImageClassification.from_pretrained(folder / "images", **named(DIGITS), ignore_mismatched_sizes=True)
    images, labels = handwritten("train")
    drawn, drawn_labels = pool({"latin": DIGITS}, {"latin": TUNING["drawn"]}, "digits")
    images, labels = torch.cat([images, images, drawn]), torch.cat([labels, labels, drawn_labels])
    optimize(
        model, losses(model, images, labels, TUNING["batch_size"], True), TUNING["steps"], TUNING["lr"], name="digits"
    )
    save(model, folder / "digits")


def handwritten(split: str) -> tuple[torch.Tensor, torch.Tensor]:
    """Digits as the processor enlarges them, from 0 to 1, and their labels."""
    rows = digit_rows()[split]
    enlarged = [
        Picture.open(io.BytesIO(row["image"]["bytes"])).resize((SIZE, SIZE), Picture.Resampling.BILINEAR)
        for row in rows
    ]
    return torch.from_numpy(np.stack(enlarged)).float() / 255, torch.tensor([row["label"] for row in rows])


@torch.inference_mode()
def accuracy(model, image_processor, dataset: Dataset) -> float:
    """The share of a data set's images that a model names rightly, by the names of its labels."""
    names = dataset.features["label"].names
    right = 0
    for start in range(0, len(dataset), 256):
        rows = dataset[start : start + 256]
        found = model(**image_processor(rows["image"], return_tensors="pt")).logits.argmax(-1).tolist()
        right += sum(model.config.id2label[i] == names[label] for i, label in zip(found, rows["label"], strict=True))
    return right / len(dataset)


def few(num_labels: int, seed: int, pretrained: bool) -> float:
    """Accuracy on the digits' test after fine-tuning with few labels, of the pretrained network or of a new one."""
    seed_everything(seed)
    digits = load_dataset(*Kit().dataset("digits"))
    config = ViTConfig.from_pretrained(Kit().model("images"), **named(DIGITS))
    model = ViTForImageClassification(config)
    if pretrained:
        model = ViTForImageClassification.from_pretrained(
            Kit().model("images"), config=config, ignore_mismatched_sizes=True
        )
    image_processor = AutoImageProcessor.from_pretrained(Kit().model("images"))
    rows = digits["train"].shuffle(seed=seed).select(range(num_labels))[:]
    values, labels = image_processor(rows["image"], return_tensors="pt")["pixel_values"], torch.tensor(rows["label"])

    def endless() -> Iterator[torch.Tensor]:
        generator = torch.Generator().manual_seed(seed)
        while True:
            for chosen in torch.randperm(num_labels, generator=generator).split(FEW["batch_size"]):
                yield model(pixel_values=values[chosen], labels=labels[chosen]).loss

    steps = FEW["epochs"] * -(-num_labels // FEW["batch_size"])
    optimize(model, endless(), steps, lr=FEW["lr"])
    return accuracy(model, image_processor, digits["test"])


def measure_images(texts: Path) -> dict[str, float]:
    """Accuracy of the checkpoints on the data sets that they were trained for; of `texts`, nothing is needed."""
    found = {}
    for name, langs in (("digits", ("en",)), ("letters", ("en", "ar", "zh"))):
        place = Kit().model("images" if name == "letters" else "digits")
        model = AutoModelForImageClassification.from_pretrained(place).eval()
        image_processor = AutoImageProcessor.from_pretrained(place)
        for lang in langs:
            dataset = load_dataset(*Kit(lang).dataset(name))
            for split in ("validation", "test"):
                key = f"{name} {split}" if name == "digits" else f"{name} {lang} {split}"
                found[key] = accuracy(model, image_processor, dataset[split])
    return found


def measure_few(seed: int, texts: Path) -> dict[str, float]:
    """Accuracy on digits after fine-tuning with few labels, of `images` and from scratch; needs nothing of `texts`."""
    kinds = {"images": True, "scratch": False}
    return {
        f"digits {number} {kind}": few(number, seed, pretrained)
        for number in FEW["labels"]
        for kind, pretrained in kinds.items()
    }


if __name__ == "__main__":
    try:
        build_data()
    except NoFonts as error:
        sys.exit(str(error))
