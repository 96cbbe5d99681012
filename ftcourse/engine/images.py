"""Images from files, as a model can take them: what has no colours, see-through parts or 16 bits is brought to RGB."""

import os
import warnings
from pathlib import Path

import numpy as np
from PIL import Image, ImageOps, UnidentifiedImageError

from ftcourse.engine.checks import kind_of_bytes
from ftcourse.engine.folders import reason
from ftcourse.engine.messages import trouble

LEAST = 4  # pixels: a side of an image on which something can be seen
PAPER = "white"  # what lies behind the see-through parts
NO_IMAGE = {"empty": "image_empty", "text": "image_text", "unknown": "image_unknown"}


def read_image(path: str | os.PathLike) -> Image.Image:
    """An image from a file, upright and in RGB: what is see-through turns white, 16 bits turn to 8.

    Raises `FileNotFoundError` for no such file, and `ValueError` for a folder, for what is no image, for a damaged
    one and for one with a side of fewer than 4 pixels.

    >>> from tempfile import TemporaryDirectory
    >>> with TemporaryDirectory() as folder:
    ...     Image.new("LA", (8, 6)).save(f"{folder}/clear.png")
    ...     image = read_image(f"{folder}/clear.png")
    >>> image.mode, image.size, image.getpixel((0, 0))
    ('RGB', (8, 6), (255, 255, 255))
    """
    path = Path(path)
    if not path.exists():
        raise trouble("no_file", FileNotFoundError, name=str(path))
    if path.is_dir():
        raise trouble("image_folder", name=str(path))
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error", Image.DecompressionBombWarning)
            with Image.open(path) as image:
                image.load()
                upright = ImageOps.exif_transpose(image)
    except UnidentifiedImageError:
        raise trouble(unreadable(path), name=path.name) from None
    except (Image.DecompressionBombWarning, Image.DecompressionBombError):
        raise trouble("image_too_large", name=path.name, most=f"{Image.MAX_IMAGE_PIXELS:,}") from None
    except (OSError, SyntaxError, ValueError) as error:
        raise trouble("image_damaged", name=path.name, reason=reason(error)) from None
    if min(upright.size) < LEAST:
        raise trouble("image_too_small", name=path.name, width=upright.width, height=upright.height, least=LEAST)
    return to_rgb(upright)


def unreadable(path: Path) -> str:
    """What a file that holds no known kind of image is, as the message for it is called."""
    with path.open("rb") as file:
        return NO_IMAGE[kind_of_bytes(file.read(2048))]


def to_rgb(image: Image.Image) -> Image.Image:
    """An image in three channels of 8 bits; a new one on white where parts of it are see-through.

    Values of more than 8 bits keep their order: of 16-bit ones the whole range is used, of others the one they have.

    >>> to_rgb(Image.new("I;16", (1, 1), 65535)).getpixel((0, 0))
    (255, 255, 255)
    """
    if image.mode.startswith("I") or image.mode == "F":
        values = np.asarray(image, dtype=np.float64)
        low, high = (0, 65535) if image.mode.startswith("I;16") else (values.min(), values.max())
        image = Image.fromarray(np.uint8(np.rint((values - low) * 255 / max(high - low, 1e-9))))
    if image.has_transparency_data:
        ink = image.convert("RGBA")
        image = Image.alpha_composite(Image.new("RGBA", ink.size, PAPER), ink)
    return image.convert("RGB")
