"""Pictures with a title, named axes and a description, in the words and the script of the reader."""

import base64
import io
import math
import warnings
from collections.abc import Callable, Sequence

import numpy as np

from ftcourse.engine.assets import ASSETS
from ftcourse.engine.messages import catalogue, in_words, trouble

# Of each kind of Chinese: the file under `assets/fonts`, and the name of the font in it.
FONTS = {
    "zh": ("NotoSansCJKsc-subset.otf", "Noto Sans CJK SC"),
    "zh-Hant": ("NotoSansCJKtc-subset.otf", "Noto Sans CJK TC"),
}
JOINS_ARABIC = (3, 11)  # the first version of Matplotlib that draws Arabic letters joined


class Pictures:
    """Shows the pictures of a chapter: titles, axes and descriptions stand in its catalogue `NN_name.pictures`.

    >>> show = Pictures("en", "00_start")
    >>> show.word("stars.x")
    'probability'
    """

    def __init__(self, lang: str, chapter: str):
        self.words = catalogue(lang, f"{chapter}.pictures")
        use_script(lang)

    def word(self, key: str, /, **values) -> str:
        """A word for a picture: of a legend, a bar, a note. `KeyError`, with those there are, where there is none."""
        if key not in self.words:
            raise KeyError(f"no words {key!r} for pictures; known: {', '.join(sorted(self.words))}")
        return self.words[key].format(**values)

    def put(self, name: Callable[[str], object], *keys: str, **values) -> None:
        """Hands the words of the first of the keys that has some to a method of Matplotlib; nothing where none has."""
        found = [key for key in keys if key in self.words]
        if found:
            name(self.word(found[0], **values))

    def __call__(self, axes, key: str, /, **values) -> None:
        """Gives the axes, one or several, their title and names, and shows the figure with its description.

        The words are `key.title`, `key.x`, `key.y` and `key.alt`; of several axes, `key.1.x` and so on count more.
        """
        from IPython.display import display

        every, description = [*np.ravel(axes)], self.word(f"{key}.alt", **values)
        figure = every[0].figure
        for number, one in enumerate(every, start=1):
            for part, name in {"title": one.set_title, "x": one.set_xlabel, "y": one.set_ylabel}.items():
                self.put(name, f"{key}.{number}.{part}", *([] if part == "title" else [f"{key}.{part}"]), **values)
        self.put(figure.suptitle if len(every) > 1 else every[0].set_title, f"{key}.title", **values)
        data = {"image/png": png(figure), "text/plain": description}
        display(data, raw=True, metadata={"image/png": {"alt": description}})


def use_script(lang: str) -> None:
    """Lets pictures draw the language's letters: Matplotlib brings Latin and Arabic ones, the kit the Chinese.

    A warning says so where this Matplotlib is too old to join Arabic letters.

    >>> use_script("zh")
    """
    import matplotlib
    import matplotlib.pyplot as plt
    from matplotlib.font_manager import fontManager

    for file, name in FONTS.values():
        if name not in fontManager.get_font_names():
            fontManager.addfont(ASSETS / "fonts" / file)
    ordered = sorted(FONTS, key=lambda other: other != lang)
    plt.rcParams["font.family"] = ["DejaVu Sans", *(FONTS[other][1] for other in ordered)]
    plt.rcParams["figure.constrained_layout.use"] = True
    if lang == "ar" and matplotlib.__version_info__[:2] < JOINS_ARABIC:
        warnings.warn(in_words("letters_apart", found=matplotlib.__version__), stacklevel=3)


def png(figure, dpi: int = 100) -> str:
    """A figure as PNG in base64; the figure is closed.

    >>> import matplotlib.pyplot as plt
    >>> png(plt.figure())[:4]
    'iVBO'
    """
    import matplotlib.pyplot as plt

    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", dpi=dpi)
    plt.close(figure)
    return base64.b64encode(buffer.getvalue()).decode()


def plot_history(history) -> None:
    """Draws what `History.plot` promises. Call `matplotlib.pyplot.show()` to see it outside of a notebook.

    >>> from ftcourse.loop import History
    >>> plot_history(History(losses=[0.7, 0.6], steps=[2], metrics=[{"loss": 0.65, "accuracy": 0.6}]))
    """
    import matplotlib.pyplot as plt

    names = list(dict.fromkeys(name for scores in history.metrics for name in scores))
    groups = [[name for name in names if name == "loss"], [name for name in names if name != "loss"]]
    width = 2 if groups[1] else 1
    _, axes = plt.subplots(1, width, figsize=(2 + 3 * width, 2.6), layout="constrained", squeeze=False)
    axes[0, 0].plot(range(1, len(history.losses) + 1), history.losses, alpha=0.4, label="losses")
    for axis, group in zip(axes[0], groups, strict=False):
        for name in group:
            values = [scores.get(name, math.nan) for scores in history.metrics]
            axis.plot(history.steps[: len(values)], values, marker="o", label=f"metrics[{name!r}]")
        axis.set_xlabel("step")
        axis.legend()
    if all(0 <= scores.get(name, 0) <= 1 for scores in history.metrics for name in groups[1]):
        axes[0, -1].set_ylim(*((0, 1) if groups[1] else (None, None)))


def plot_confusion(matrix: np.ndarray, names: Sequence[str]):
    """Draws a confusion matrix of shape (num_labels, num_labels): true labels in rows, predicted ones in columns.

    Raises `ValueError` where the names do not fit the matrix.

    >>> len(plot_confusion(np.array([[8, 2], [1, 9]]), ["neg", "pos"]).texts)
    4
    """
    import matplotlib.pyplot as plt

    matrix = np.asarray(matrix)
    if matrix.shape != (len(names), len(names)):
        raise trouble("matrix", shape=matrix.shape, count=len(names))
    shares = matrix / np.maximum(matrix.sum(axis=1, keepdims=True), 1)
    side = 1.2 + 0.6 * len(names)
    axes = plt.figure(figsize=(side, side), layout="constrained").add_subplot()
    axes.imshow(shares, cmap="Blues", vmin=0, vmax=1)
    axes.set_xticks(range(len(names)), names, rotation=45)
    axes.set_yticks(range(len(names)), names)
    for (row, column), count in np.ndenumerate(matrix):
        color = "white" if shares[row, column] > 0.5 else "black"
        axes.text(column, row, count, ha="center", va="center", color=color)
    return axes
