"""The Chinese letters that the pictures need, for machines without a Chinese font.

`python -m kit.fonts NotoSansCJK-Regular.ttc` keeps of that font what the kit's texts and
the package's messages use.
"""

import string
import sys
from pathlib import Path

from datasets import load_dataset
from fontTools.subset import Options, Subsetter, load_font, save_font

from ftcourse.kit import Kit
from kit.data import ASSETS

TARGET = ASSETS / "fonts" / "NotoSansCJKsc-subset.otf"
FACE = 2  # of the collection: Simplified Chinese
CATALOGUES = ASSETS.parent / "catalogues"


def characters() -> set[str]:
    """Every character of the kit's Chinese texts and of the messages in Chinese, and the letters of ASCII."""
    texts = [string.printable.strip(), *(path.read_text(encoding="utf-8") for path in CATALOGUES.glob("zh*/*.json"))]
    for lang in ("zh", "zh-Hant"):
        for name in ("reviews", "films", "pairs", "natural"):
            for split in load_dataset(*Kit(lang).dataset(name)).values():
                texts += [text for column in split.column_names for text in split[column][:] if isinstance(text, str)]
    return {character for text in texts for character in text}


def subset(source: Path) -> None:
    options = Options(font_number=FACE, desubroutinize=True, layout_features=[], name_IDs=["*"])
    font = load_font(str(source), options)
    subsetter = Subsetter(options)
    subsetter.populate(text="".join(sorted(characters())))
    subsetter.subset(font)
    TARGET.parent.mkdir(exist_ok=True)
    save_font(font, str(TARGET), options)


if __name__ == "__main__":
    subset(Path(sys.argv[1]))
    print(f"{TARGET}: {TARGET.stat().st_size:,} bytes, {len(characters())} characters")
