"""Texts made into ids on the way to a model: quickly, cut off, and the next ones while the model is busy."""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager

from transformers import PreTrainedTokenizerBase, PreTrainedTokenizerFast
from transformers.tokenization_utils_base import PaddingStrategy, TruncationStrategy

from ftcourse.engine.threads import ahead, spare_cores
from ftcourse.engine.windows import TOKEN, pieces, windows_of


def is_plain(tokenizer: PreTrainedTokenizerBase) -> bool:
    """Whether a tokenizer does no more than the library `tokenizers` does for it.

    >>> from ftcourse.engine.models import load_tokenizer
    >>> from ftcourse.kit import Kit
    >>> is_plain(load_tokenizer(Kit().model("encoder")))
    True
    """
    kind, own = type(tokenizer), ("__call__", "_encode_plus", "_convert_encoding", "set_truncation_and_padding")
    return issubclass(kind, PreTrainedTokenizerFast) and all(
        getattr(kind, name, None) is getattr(PreTrainedTokenizerFast, name, None) for name in own
    )


def encode(tokenizer: PreTrainedTokenizerBase, texts: Sequence, max_length: int | None) -> Mapping[str, list]:
    """What the tokenizer returns for texts or pairs, without the places in the text that it would note for each token.

    >>> from ftcourse.engine.models import load_tokenizer
    >>> from ftcourse.kit import Kit
    >>> tokenizer = load_tokenizer(Kit().model("encoder"))
    >>> encode(tokenizer, ["Lovely food."], None) == dict(tokenizer(["Lovely food."]))
    True
    """
    if not texts or not is_plain(tokenizer):
        return tokenizer(texts, truncation=max_length is not None, max_length=max_length)
    cut = TruncationStrategy.DO_NOT_TRUNCATE if max_length is None else TruncationStrategy.LONGEST_FIRST
    tokenizer.set_truncation_and_padding(PaddingStrategy.DO_NOT_PAD, cut, max_length, 0, None, None)
    backend, names = tokenizer.backend_tokenizer, tokenizer.model_input_names
    if backend.encode_special_tokens != tokenizer.split_special_tokens:
        backend.encode_special_tokens = tokenizer.split_special_tokens
    found = backend.encode_batch_fast(texts)
    columns = {"input_ids": [one.ids for one in found]}
    if "token_type_ids" in names:
        columns["token_type_ids"] = [one.type_ids for one in found]
    if "attention_mask" in names:
        columns["attention_mask"] = [one.attention_mask for one in found]
    return columns


def beginnings(texts: Sequence, max_length: int) -> list:
    """The texts, or pairs of them, but of very long ones only the beginning, in which more tokens are than are read.

    >>> beginnings(["a " * 1000, "b"], 4) == ["a " * 127 + "a", "b"]
    True
    """
    most = TOKEN * max_length
    return [
        (pieces(text, most)[0] if len(text) > most else text)
        if isinstance(text, str)
        else tuple(pieces(part, most)[0] if len(part) > most else part for part in text)
        for text in texts
    ]


def cut_off(texts: Sequence, tokenizer: PreTrainedTokenizerBase, max_length: int | None) -> Mapping:
    """What the tokenizer returns for texts or pairs, each cut off at `max_length` tokens; quickly for whole books, too.

    >>> from ftcourse.kit import Kit
    >>> from ftcourse.engine.models import load_tokenizer
    >>> [len(ids) for ids in cut_off(["a " * 10_000, "a"], load_tokenizer(Kit().model("encoder")), 16)["input_ids"]]
    [16, 3]
    """
    if max_length is None:
        return encode(tokenizer, texts, None)
    some = beginnings(texts, max_length) if tokenizer.truncation_side == "right" else texts
    encoded = encode(tokenizer, some, max_length)
    if texts and not isinstance(texts[0], str):  # of a pair, either text may be what fills the row
        pairs = [pair for one, text in zip(some, texts, strict=True) for pair in zip(one, text, strict=True)]
        short = [part for part, whole in pairs if part != whole]
        rows = encode(tokenizer, short, max_length)["input_ids"] if short else []
    else:
        rows = [ids for ids, one, text in zip(encoded["input_ids"], some, texts, strict=True) if one != text]
    if all(len(ids) == max_length for ids in rows):
        return encoded
    return encode(tokenizer, texts, max_length)


@contextmanager
def tokenized(predictor, texts: Sequence, groups: Sequence[list[int]]) -> Iterator[Iterator[tuple[list[int], object]]]:
    """The row numbers of each group and what the tokenizer makes of their texts, as a `Predictor` wants it.

    Where there are cores to spare, a group is tokenized while the model works on the one before. Instead of columns of
    ids, texts in windows have their number and an iterator, as of `windows_of`.

    >>> from ftcourse.inference import Predictor
    >>> from ftcourse.kit import Kit
    >>> with tokenized(Predictor(Kit().model("stars")), ["good food", "bad"], [[1], [0]]) as found:
    ...     [(rows, len(encoded["input_ids"])) for rows, encoded in found]
    [([1], 1), ([0], 1)]
    """
    tokenizer, length = predictor.tokenizer, predictor.max_length

    def work(rows: list[int]) -> tuple[list[int], object]:
        some = [texts[row] for row in rows]
        if predictor.windows:
            return rows, (len(some), windows_of(some, tokenizer, length))
        return rows, cut_off(some, tokenizer, length)

    if len(groups) > 1 and not predictor.windows and spare_cores(predictor.model.device):
        with ahead(work, groups) as found:
            yield found
    else:
        yield map(work, groups)
