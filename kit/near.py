"""Finds texts that are the same but for spelling, or search-and-replace of one another."""

import re
import unicodedata
from collections import defaultdict
from difflib import SequenceMatcher

MARKS = re.compile(r"[\u0610-\u061a\u064b-\u065f\u0670\u06d6-\u06ed\u0640]")
FOLDS = str.maketrans("أإآٱىة", "ااااي" + "ه")
ALIKE = {"en": 0.8, "ar": 0.75, "zh": 0.75, "zh-Hant": 0.75}


def key(text: str) -> str:
    """What two texts share that differ only in case, blanks, punctuation, or Arabic spelling.

    >>> key("Great  food!") == key("great food")
    True
    """
    folded = MARKS.sub("", unicodedata.normalize("NFKC", text)).lower().translate(FOLDS)
    return re.sub(r"[\W_]+", "", folded)


def near_copies(texts: list[str], lang: str) -> list[tuple[str, str]]:
    """Pairs of texts whose words (characters in Chinese) match in order to the share that `ALIKE` gives, or more.

    >>> near_copies(["the soup was cold and thin", "the soup was cold and salty"], "en")
    [('the soup was cold and thin', 'the soup was cold and salty')]
    """
    pieces = [list(text) if lang.startswith("zh") else text.split() for text in texts]
    shared = defaultdict(set)  # texts by the runs of three pieces they have in common
    for i, piece in enumerate(pieces):
        for start in range(len(piece) - 2):
            shared[tuple(piece[start : start + 3])].add(i)
    candidates = {(i, j) for group in shared.values() for i in group for j in group if i < j}
    matcher = SequenceMatcher(autojunk=False)
    found = []
    for i, j in sorted(candidates):
        matcher.set_seqs(pieces[i], pieces[j])
        if matcher.ratio() >= ALIKE[lang]:
            found.append((texts[i], texts[j]))
    return found
