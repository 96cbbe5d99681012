"""The Chinese letters that the pictures need, for machines without a Chinese font.

`python -m kit.fonts NotoSansCJK-Regular.ttc` keeps of that font what the kit's texts and
the package's messages use.
"""

import string
import sys
from pathlib import Path

from datasets import load_dataset
from fontTools.subset import Options, Subsetter, load_font, save_font

from ftcourse.engine.plots import FONTS
from ftcourse.kit import Kit
from kit.data import ASSETS

FACES = {"zh": 2, "zh-Hant": 3}  # of each kind of Chinese, the number of its face in the collection
CATALOGUES = ASSETS.parent / "catalogues"
UNDRAWN = ("cli", "room")  # messages of terminals and browsers, which are in no picture


def characters(lang: str) -> set[str]:
    """Every character of the kit's texts and of the pictures' words in a kind of Chinese, and the letters of ASCII."""
    messages = [path for path in CATALOGUES.joinpath(lang).glob("*.json") if path.stem not in UNDRAWN]
    texts = [string.printable.strip(), *(path.read_text(encoding="utf-8") for path in messages)]
    for name in ("reviews", "films", "pairs", "natural"):
        for split in load_dataset(*Kit(lang).dataset(name)).values():
            texts += [text for column in split.column_names for text in split[column][:] if isinstance(text, str)]
    return {character for text in texts for character in text}


def target(lang: str) -> Path:
    """Where the font of a kind of Chinese is."""
    return ASSETS / "fonts" / FONTS[lang][0]


def subset(source: Path, lang: str) -> Path:
    """Writes the part of a font that a language needs."""
    options = Options(font_number=FACES[lang], desubroutinize=True, layout_features=[], name_IDs=["*"])
    font = load_font(str(source), options)
    subsetter = Subsetter(options)
    subsetter.populate(text="".join(sorted(characters(lang))))
    subsetter.subset(font)
    target(lang).parent.mkdir(exist_ok=True)
    save_font(font, str(target(lang)), options)
    return target(lang)


if __name__ == "__main__":
    for name in FACES:
        written = subset(Path(sys.argv[1]), name)
        print(f"{written}: {written.stat().st_size:,} bytes, {len(characters(name))} characters")
