"""Reviews of a restaurant and what the house answered, in its own style: `kit/replies.tsv`, in English only.

`python -m kit.replies` rebuilds the data set `replies`, in which every language has the same files; `problems` says
what is wrong with the texts. The columns of the file are split, stars, dialect, review and reply.
"""

import re
import shutil
from functools import cache
from pathlib import Path

from datasets import Dataset, Features, Value, disable_progress_bars

from ftcourse.kit import LANGS
from kit.data import ASSETS, BY_MODEL, CARD, config_lines
from kit.natural import DIALECTS, STARS
from kit.near import near_copies
from kit.tables import read_table, read_whole_table

FILE = Path(__file__).with_name("replies.tsv")
COLUMNS = ["split", "stars", "dialect", "review", "reply"]
SIZES = {"train": 64, "test": 16}
HEAD, TAIL = "Dear guest, ", " Yours, the kitchen at Olive & Thyme"
STYLE = re.compile(rf"{HEAD}[a-z][^.]*\. .+[.?!] Next time, [^.]+\.{TAIL}")
FEATURES = Features({"review": Value("string"), "reply": Value("string")})
SUMMARY = f"""Reviews of a restaurant (`review`) and what the house answered (`reply`). The house is invented, and
has a style: it begins "{HEAD.strip()}", takes up one thing that the guest has named, offers something in a last
sentence that begins "Next time,", and closes "{TAIL.strip()}". Good and bad reviews,
in the English of several countries."""
ORIGIN = f"Written pair by pair (`kit/replies.tsv`). {BY_MODEL}"


def problems(path: Path = FILE) -> list[str]:
    """What is wrong with the texts, each with file and line. Empty when all is well."""
    whole, found = read_table(path, COLUMNS)
    for where, (split, stars, dialect, _, reply) in whole:
        for column, given, known in zip(
            COLUMNS[:3], (split, stars, dialect), (tuple(SIZES), STARS, DIALECTS["en"]), strict=True
        ):
            if given not in known:
                found.append(f"{where}: unknown {column} {given!r}; known: {', '.join(known)}")
        if not STYLE.fullmatch(reply):
            found.append(f"{where}: the reply is not in the style of the house")
    for column in (3, 4):
        places = {fields[column].removeprefix(HEAD).removesuffix(TAIL): where for where, fields in whole}
        if len(places) < len(whole):
            found.append(f"{path.name}: a {COLUMNS[column]} stands there twice")
        found += [
            f"{places[other]}: nearly the same text as {places[one]}" for one, other in near_copies(list(places), "en")
        ]
    for split, size in SIZES.items():
        if (number := sum(fields[0] == split for _, fields in whole)) != size:
            found.append(f"{path.name}: {number} pairs in {split}, expected {size}")
    return found


@cache
def pairs(split: str) -> list[dict[str, str]]:
    """Reviews and replies of a split, in the order of the file."""
    lines = (dict(zip(COLUMNS, fields, strict=True)) for _, fields in read_whole_table(FILE, COLUMNS))
    return [{name: line[name] for name in FEATURES} for line in lines if line["split"] == split]


def build(directory: Path = ASSETS / "data") -> None:
    """The data set and its card, anew."""
    disable_progress_bars()
    folder = directory / "replies"
    shutil.rmtree(folder, ignore_errors=True)
    (folder / "all").mkdir(parents=True)
    for split in SIZES:
        Dataset.from_list(pairs(split), features=FEATURES).to_parquet(folder / "all" / f"{split}.parquet")
    card = CARD.format(
        name="replies",
        licence="apache-2.0",
        task="text-generation",
        languages="English, whatever language is asked for.",
        summary=SUMMARY,
        configs="\n".join(line for lang in LANGS for line in config_lines(lang, folder / "all", SIZES)),
        origin=ORIGIN,
        rows=", ".join(f"{size} {split}" for split, size in SIZES.items()),
    )
    (folder / "README.md").write_text(
        card.replace("[en, ar, zh]", "[en]").replace('Kit("ar")', 'Kit("en")'), encoding="utf-8"
    )


if __name__ == "__main__":
    build()
