"""Texts longer than a model reads at once, cut into windows that overlap, some at a time, whatever their length."""

from collections.abc import Iterator, Sequence
from typing import NamedTuple

import numpy as np
from datasets import Dataset
from transformers import PreTrainedTokenizerBase

from ftcourse.engine.checks import as_texts
from ftcourse.engine.columns import ROW_WEIGHT, check_columns, check_length, check_tokenizer

TEXT = "text_number"  # the column that says which text a window is of
OVERLAP = 4  # neighbours share this part of a window: a quarter
CHUNK = 500_000  # characters that are tokenized in one go
PIECE = 50_000  # characters of one text in such a chunk
PAIRS = 64  # that are looked at together
TOKEN = 64  # characters that a token hardly ever has
MOST_TRAINED = 32  # windows of one text that a model is trained with


def pieces(text: str, size: int = PIECE) -> list[str]:
    """A text in parts of up to `size` characters, cut at blanks where there are some; joined, they are the text.

    >>> pieces("one two three", 6)
    ['one', ' two', ' three']
    """
    parts, start = [], 0
    while len(text) - start > size:
        blank = max(text.rfind(mark, start + 1, start + size + 1) for mark in (" ", "\n"))
        end = blank if blank > start else start + size
        parts.append(text[start:end])
        start = end
    return [*parts, text[start:]]


class Job(NamedTuple):
    """What is to be tokenized: the number of a text, which of two parts is read in windows, and the parts."""

    number: int
    side: str
    parts: tuple[str, ...]


def shortened(texts: Sequence[str], tokenizer: PreTrainedTokenizerBase, most: int) -> list[str]:
    """The texts, each up to its token number `most`.

    >>> from ftcourse.kit import Kit
    >>> from ftcourse.engine.models import load_tokenizer
    >>> shortened(["good food", "bad food, and cold"], load_tokenizer(Kit().model("encoder")), 2)
    ['good food', 'bad food']
    """
    texts, plain = [pieces(text, TOKEN * most)[0] for text in texts], {"add_special_tokens": False}
    how = plain | {"truncation": True, "max_length": most, "return_offsets_mapping": True}
    places = [found[-1] if len(found) == most else (None, None) for found in tokenizer(texts, **how)["offset_mapping"]]
    cut = [text[:end] for text, (_, end) in zip(texts, places, strict=True)]
    lengths = map(len, tokenizer(cut, **plain)["input_ids"])  # a character may be many tokens
    cut = [one if length <= most else one[: place[0]] for one, length, place in zip(cut, lengths, places, strict=True)]
    lengths = map(len, tokenizer(cut, **plain)["input_ids"])
    return [one if length <= most else "" for one, length in zip(cut, lengths, strict=True)]


def pair_jobs(pairs: Sequence, first: int, tokenizer: PreTrainedTokenizerBase, room: int) -> Iterator[Job]:
    """The jobs for pairs of texts, which are numbered from `first`: the longer text of a pair is read in windows.

    The other one, up to half of the `room`, is in each of them.
    """
    longer = [int(len(pair[1]) >= len(pair[0])) for pair in pairs]
    others = shortened(
        [pair[1 - which] for pair, which in zip(pairs, longer, strict=True)], tokenizer, max(room // 2, 1)
    )
    for number, (pair, which, other) in enumerate(zip(pairs, longer, others, strict=True), first):
        for piece in readable(pieces(pair[which])):
            yield Job(number, "only_second", (other, piece)) if which else Job(number, "only_first", (piece, other))


def readable(parts: list[str]) -> list[str]:
    """The parts with something in them; where none has, the first.

    >>> readable(["a", " "]), readable([""])
    (['a'], [''])
    """
    return [part for part in parts if part.strip()] or parts[:1]


def jobs_for(texts: Sequence, tokenizer: PreTrainedTokenizerBase, room: int) -> Iterator[Job]:
    """The jobs for texts or pairs of texts, in order.

    >>> list(jobs_for(["one", "two"], None, 0))[1]
    Job(number=1, side='only_first', parts=('two',))
    """
    if texts and not isinstance(texts[0], str):
        for start in range(0, len(texts), PAIRS):
            yield from pair_jobs(texts[start : start + PAIRS], start, tokenizer, room)
    else:
        for number, text in enumerate(texts):
            yield from (Job(number, "only_first", (piece,)) for piece in readable(pieces(text)))


def chunks(jobs: Iterator[Job]) -> Iterator[list[Job]]:
    """The jobs in lists, each of as many characters as are tokenized in one go.

    >>> [len(chunk) for chunk in chunks(iter([Job(0, "only_first", ("a" * CHUNK,)), Job(1, "only_first", ("b",))]))]
    [1, 1]
    """
    chunk, size = [], 0
    for job in jobs:
        length = sum(map(len, job.parts))
        if chunk and size + length > CHUNK:
            yield chunk
            chunk, size = [], 0
        chunk.append(job)
        size += length
    if chunk:
        yield chunk


def windows_of(
    texts: Sequence, tokenizer: PreTrainedTokenizerBase, max_length: int
) -> Iterator[tuple[np.ndarray, dict[str, list[list[int]]]]]:
    """Windows of up to `max_length` tokens that cover each text or pair of texts, and the number of the text of each.

    They come some at a time, as the columns that the tokenizer returns: a whole book needs little memory. Neighbours
    share a quarter of their tokens, but for those where a piece of 50,000 characters ends.

    >>> from ftcourse.kit import Kit
    >>> from ftcourse.engine.models import load_tokenizer
    >>> numbers, encoded = next(windows_of(["a b c d e f", "a"], load_tokenizer(Kit().model("encoder")), 6))
    >>> numbers.tolist(), [len(ids) for ids in encoded["input_ids"]]
    ([0, 0, 1], [6, 5, 3])
    """
    pair = bool(texts) and not isinstance(texts[0], str)
    room = max_length - tokenizer.num_special_tokens_to_add(pair=pair)
    how = {"max_length": max_length, "return_overflowing_tokens": True}
    how["stride"] = max(room // 2 - 1, 0) // OVERLAP if pair else room // OVERLAP
    for chunk in chunks(jobs_for(texts, tokenizer, room)):
        numbers, columns = [], {}
        for side in ("only_first", "only_second"):
            some = [job for job in chunk if job.side == side]
            if some:
                parts = [[*part] for part in zip(*(job.parts for job in some), strict=True)]
                encoded = dict(tokenizer(*parts, truncation=side, **how))
                numbers += [some[row].number for row in encoded.pop("overflow_to_sample_mapping")]
                for name, column in encoded.items():
                    columns.setdefault(name, []).extend(column)
        order = np.argsort(numbers, kind="stable")
        yield np.array(numbers)[order], {name: [column[row] for row in order] for name, column in columns.items()}


def spread(count: int, most: int) -> list[int]:
    """Numbers of up to `most` of so many windows, evenly from the first to the last.

    >>> spread(3, 8), spread(9, 3)
    ([0, 1, 2], [0, 4, 8])
    """
    return [*range(count)] if count <= most else np.linspace(0, count - 1, most).round().astype(int).tolist()


def windowed(
    dataset: Dataset,
    tokenizer: PreTrainedTokenizerBase,
    columns: Sequence[str],
    max_length: int,
    most: int = MOST_TRAINED,
) -> Dataset:
    """What `ftcourse.data.tokenize` returns, with a row for each window of a text: `most` of them, from all over it.

    `text_number` says which text a window is of, `row_weight` how much it counts: all texts as much as one another.

    >>> from ftcourse.kit import Kit
    >>> from ftcourse.engine.models import load_tokenizer
    >>> rows = Dataset.from_dict({"text": ["a b c d e f", "a"], "label": [1, 0]})
    >>> found = windowed(rows, load_tokenizer(Kit().model("encoder")), ["text"], 6)
    >>> found["text_number"][:], found["row_weight"][:], found["labels"][:]
    ([0, 0, 1], [0.75, 0.75, 1.5], [1, 1, 0])
    """
    names = check_columns(dataset, columns)
    check_length(tokenizer, max_length, pair=len(names) == 2)
    check_tokenizer(tokenizer, fast=True)

    def encode(batch: dict[str, list], rows: list[int]) -> dict[str, list]:
        texts = [as_texts(batch[name], f"dataset[{name!r}]", first=rows[0]) for name in names]
        texts = texts[0] if len(names) == 1 else [*zip(*texts, strict=True)]
        found = {TEXT: [], **({"label": []} if "label" in batch else {})}
        for number, encoded in text_windows(texts, tokenizer, max_length):
            kept = spread(len(encoded["input_ids"]), most)
            found[TEXT] += [rows[number]] * len(kept)
            if "label" in batch:
                found["label"] += [batch["label"][number]] * len(kept)
            for name, column in encoded.items():
                found.setdefault(name, []).extend(column[window] for window in kept)
        return found

    dropped = sorted({*dataset.column_names} - {"label"})
    how = {"batched": True, "batch_size": 100, "with_indices": True, "remove_columns": dropped}
    cut = dataset.with_format(None).map(encode, **how)
    counts = np.bincount(cut[TEXT][:])
    weights = len(cut) / (len(counts) * counts[cut[TEXT][:]])
    cut = cut.add_column(ROW_WEIGHT, weights.astype(np.float32))
    return cut.rename_column("label", "labels") if "label" in cut.column_names else cut


def text_windows(
    texts: Sequence, tokenizer: PreTrainedTokenizerBase, max_length: int
) -> Iterator[tuple[int, dict[str, list[list[int]]]]]:
    """The number of each text and all of its windows.

    >>> from ftcourse.kit import Kit
    >>> from ftcourse.engine.models import load_tokenizer
    >>> tokenizer = load_tokenizer(Kit().model("encoder"))
    >>> [(number, len(found["input_ids"])) for number, found in text_windows(["a b c d e f", "a"], tokenizer, 6)]
    [(0, 2), (1, 1)]
    """
    last, windows = None, {}
    for numbers, encoded in windows_of(texts, tokenizer, max_length):
        for row, number in enumerate(numbers.tolist()):
            if number != last and last is not None:
                yield last, windows
                windows = {}
            last = number
            for name, column in encoded.items():
                windows.setdefault(name, []).append(column[row])
    if last is not None:
        yield last, windows
