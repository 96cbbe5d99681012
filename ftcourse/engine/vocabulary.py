"""The vectors of the tokens that occur in a training set, trained in place of the whole vocabulary's. The others get no
gradient, so they would not move: without them, a step has less to add up, to shorten, to exchange and to move."""

from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np
import pyarrow.compute as pc
import torch
from accelerate.utils import DistributedType
from datasets import Dataset
from torch.nn import Parameter
from transformers import DataCollatorWithPadding, PreTrainedModel, default_data_collator

from ftcourse.engine.batches import USUAL, Collate

MOST_ROWS = 200_000  # in a larger data set nearly every token occurs
SHARE = 0.9  # of the vocabulary that may occur; with more, too little is saved
SPLIT = (DistributedType.FSDP, DistributedType.DEEPSPEED, DistributedType.MEGATRON_LM)  # one weight, many processes


def tokens_of(data: Dataset, size: int) -> np.ndarray:
    """The numbers of the tokens that occur in a data set, in order; a vocabulary has `size`.

    >>> tokens_of(Dataset.from_dict({"input_ids": [[2, 9, 3], [2, 3]]}), 10)
    array([2, 3, 9])
    """
    found = np.zeros(size, dtype=bool)
    for batch in data.select_columns("input_ids").with_format("arrow").iter(10_000):
        column = batch["input_ids"]
        while hasattr(column.type, "value_type"):
            column = pc.list_flatten(column)
        found[column.to_numpy()] = True
    return np.flatnonzero(found)


class Vocabulary:
    """The rows of an embedding for some `tokens`. While they are in its place, its layer looks tokens up in them.

    >>> layer = torch.nn.Embedding(9, 4)
    >>> vocabulary, before = Vocabulary(layer, np.array([2, 3, 7])), layer(torch.tensor([7, 2]))
    >>> vocabulary.enter()
    >>> layer.weight.shape, torch.equal(layer(torch.tensor([7, 2])), before)
    (torch.Size([3, 4]), True)
    >>> vocabulary.leave()
    >>> layer.weight.shape
    torch.Size([9, 4])
    """

    def __init__(self, layer: torch.nn.Embedding, tokens: np.ndarray):
        self.layer, self.whole, self.hook = layer, layer.weight, None
        self.tokens = torch.from_numpy(tokens).to(self.whole.device)
        self.rows = Parameter(self.whole.detach()[self.tokens])
        self.place = torch.full((len(self.whole),), len(tokens), device=self.whole.device)  # an unknown token: no row
        self.place[self.tokens] = torch.arange(len(tokens), device=self.whole.device)

    @torch.no_grad()
    def enter(self) -> None:
        """Puts the rows into the layer, as they are in the whole."""
        if self.hook is None:
            self.rows.copy_(self.whole[self.tokens])
            self.layer.weight = self.rows
            self.hook = self.layer.register_forward_pre_hook(lambda _, given: (self.place[given[0]], *given[1:]))

    @torch.no_grad()
    def leave(self) -> None:
        """Puts the whole back, with the rows as they are now."""
        if self.hook is not None:
            self.whole[self.tokens] = self.rows
            self.layer.weight = self.whole
            self.hook.remove()
            self.hook = None

    @contextmanager
    def left(self) -> Iterator[None]:
        """While it lasts, the layer has the whole; then it is as before."""
        entered = self.hook is not None
        self.leave()
        try:
            yield
        finally:
            if entered:
                self.enter()


def vocabulary_of(model: PreTrainedModel, data: Dataset, collate: Collate, kind: DistributedType) -> Vocabulary | None:
    """The tokens' vectors to train with a data set; None where nothing is gained, or others have a share in them.

    >>> from ftcourse.engine.models import small_example
    >>> vocabulary = vocabulary_of(*small_example(), DistributedType.NO)
    >>> len(vocabulary.rows) < len(vocabulary.whole)
    True
    """
    if not isinstance(data, Dataset):  # a stream, whose rows nobody knows beforehand
        return None
    pads, columns = type(collate) is DataCollatorWithPadding, {*data.column_names}
    plain = (pads or collate is default_data_collator) and "input_ids" in columns <= {*USUAL}
    layer = model.get_input_embeddings() if plain else None
    if kind in SPLIT or len(data) > MOST_ROWS or type(layer) is not torch.nn.Embedding:
        return None
    owners = [part for part in model.modules() if any(weight is layer.weight for weight in part.parameters(False))]
    special = layer.max_norm is not None or layer.scale_grad_by_freq or layer.sparse
    if owners != [layer] or special or not layer.weight.requires_grad:
        return None
    size, padding = len(layer.weight), layer.padding_idx
    first = np.arange(0 if padding is None else padding + 1)  # so the token for padding keeps its number
    tokens = np.union1d(first, tokens_of(data, size))
    tokens = np.union1d(tokens, [collate.tokenizer.pad_token_id or 0]) if pads else tokens
    return Vocabulary(layer, tokens) if len(tokens) <= SHARE * size else None
