"""Traditional Chinese from Simplified: OpenCC, and tables of what it gets wrong in these texts."""

import csv
import re
from collections.abc import Callable
from functools import cache
from pathlib import Path

from opencc import OpenCC


def corrections(table: Path) -> dict[str, str]:
    """What the conversion gives, and what is right. Where both are the same, a shorter entry must not apply."""
    if not table.exists():
        return {}
    with open(table, encoding="utf-8", newline="") as file:
        rows = csv.reader(file, delimiter="\t", quoting=csv.QUOTE_NONE)
        next(rows)
        return dict(rows)


@cache
def converter(name: str, table: Path | None = None) -> Callable[[str], str]:
    """OpenCC's conversion `name`, then the corrections in a table if there is one, all in one pass, the longest first.

    >>> tools = Path(__file__).parent
    >>> converter("s2twp", tools / "s2twp.tsv")("模型的参数")
    '模型的參數'
    """
    convert, right = OpenCC(name).convert, corrections(table) if table else {}
    if not right:
        return convert
    wrong = re.compile("|".join(map(re.escape, sorted(right, key=len, reverse=True))))
    return lambda text: wrong.sub(lambda found: right[found[0]], convert(text))
