"""Rows made into batches: of similar length, padded, or filled with tokens up to a limit."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial

import numpy as np
import pyarrow.compute as pc
import torch
from datasets import Dataset
from torch.utils.data import DataLoader, Sampler
from transformers import DataCollatorWithPadding, PreTrainedTokenizerBase

from ftcourse.engine.checks import check_number
from ftcourse.engine.columns import ROW_WEIGHT, check_lengths


def length_batches(
    lengths: np.ndarray, batch_size: int, rng: np.random.Generator, together: int = 1
) -> list[list[int]]:
    """Row numbers in batches of similar length, each row once, in an order that `rng` decides.

    Rows are sorted by length within random pools of 4 to 50 batches; a smaller batch comes last. `together` batches
    in a row have similar lengths, one for each of so many processes.

    >>> batches = length_batches(np.array([3, 40, 4, 41]), 2, np.random.default_rng(0))
    >>> sorted(sorted(batch) for batch in batches)
    [[0, 2], [1, 3]]
    """
    return [rows.tolist() for rows in batch_rows(lengths, batch_size, rng, together)]


def batch_rows(
    lengths: np.ndarray, batch_size: int, rng: np.random.Generator, together: int = 1
) -> Iterator[np.ndarray]:
    """The batches of `length_batches`, one after the other, each an array of row numbers.

    >>> [len(rows) for rows in batch_rows(np.array([3, 40, 4]), 2, np.random.default_rng(0))]
    [2, 1]
    """
    order, step = rng.permutation(len(lengths)), batch_size * together
    whole, rest = np.split(order, [len(order) - len(order) % step])
    pool_size = step * min(50, max(4, len(order) // (4 * step)))
    for start in range(0, len(whole), pool_size):
        pool = whole[start : start + pool_size]
        pool[:] = pool[np.argsort(lengths[pool], kind="stable")]
    batches, rest = rng.permutation(whole.reshape(-1, step)).reshape(-1, batch_size), rest.copy()
    del order, whole
    yield from batches
    yield from (rest[start : start + batch_size] for start in range(0, len(rest), batch_size))


class LengthBatches(Sampler[list[int]]):
    """Batches of rows of similar length, for `DataLoader(batch_sampler=...)`: little padding, every row once an epoch.
    `lengths` are numbers of tokens, one a row. Each pass is a new epoch; `seed` and epoch decide its order. `together`
    batches in a row are alike, for so many processes. `ValueError` for what is no length, no rows, no batch size.
    >>> sorted(sorted(batch) for batch in LengthBatches([3, 40, 4, 41], 2))
    [[0, 2], [1, 3]]
    """

    def __init__(self, lengths: Sequence[int], batch_size: int, *, seed: int = 0, together: int = 1):
        self.lengths, self.batch_size = check_lengths(lengths), check_number("batch_size", batch_size, 1, whole=True)
        self.seed, self.epoch, self.drop_last = check_number("seed", seed, 0, whole=True), 0, False
        self.together = check_number("together", together, 1, whole=True)

    def __len__(self) -> int:
        return -(-len(self.lengths) // self.batch_size)

    def __iter__(self) -> Iterator[list[int]]:
        rng = np.random.default_rng([self.seed, self.epoch])
        self.epoch += 1
        return map(np.ndarray.tolist, batch_rows(self.lengths, self.batch_size, rng, self.together))

    def set_epoch(self, epoch: int) -> None:
        self.epoch = check_number("epoch", epoch, 0, whole=True)


class EpochBatches(LengthBatches):
    """`LengthBatches` that count an epoch once its first batch is drawn: Keras asks for an epoch that it then drops.

    >>> batches = EpochBatches([3, 40, 4, 41], 2)
    >>> dropped = iter(batches)
    >>> batches.epoch, len(list(batches)), batches.epoch
    (0, 2, 1)
    """

    def __iter__(self) -> Iterator[list[int]]:
        yield from super().__iter__()


Collate = Callable[[list[dict]], Mapping[str, torch.Tensor]]


def token_lengths(data: Dataset) -> np.ndarray:
    """The number of tokens of each row; zeros where there is no column `input_ids`.

    >>> token_lengths(Dataset.from_dict({"input_ids": [[2, 3], [2, 5, 3]]}))
    array([2, 3]...)
    """
    if "input_ids" not in data.column_names:
        return np.zeros(len(data), dtype=int)
    return pc.list_value_length(data.select_columns("input_ids").with_format("arrow")[:]["input_ids"]).to_numpy()


USUAL = ("input_ids", "token_type_ids", "attention_mask", "label", "labels", ROW_WEIGHT)


def pad_rows(
    columns: Mapping[str, list[list[int]]], rows: Sequence[int], tokenizer: PreTrainedTokenizerBase
) -> dict[str, torch.Tensor]:
    """Some rows of what a tokenizer returned, as a batch: tensors of shape (len(rows), tokens of the longest).

    >>> from ftcourse.kit import Kit
    >>> from transformers import AutoTokenizer
    >>> tokenizer = AutoTokenizer.from_pretrained(Kit().model("encoder"))
    >>> pad_rows({"input_ids": [[2, 3], [2, 5, 3]]}, [1, 0], tokenizer)["input_ids"].tolist()
    [[2, 5, 3], [2, 3, 0]]
    """
    fill = {"input_ids": tokenizer.pad_token_id or 0, "token_type_ids": tokenizer.pad_token_type_id}
    batch = {}
    for name, column in columns.items():
        lengths = [len(column[row]) for row in rows]
        array = np.full((len(rows), max(lengths)), fill.get(name, 0), dtype=np.int64)
        for place, (row, length) in enumerate(zip(rows, lengths, strict=True)):
            start = array.shape[1] - length if tokenizer.padding_side == "left" else 0
            array[place, start : start + length] = column[row]
        batch[name] = torch.from_numpy(array)
    return batch


def collate_quickly(rows: list[dict], collate: DataCollatorWithPadding) -> Mapping[str, torch.Tensor]:
    """What `collate` makes of the rows, where they have the usual columns, by `pad_rows`.

    >>> from ftcourse.kit import Kit
    >>> from transformers import AutoTokenizer
    >>> collate = DataCollatorWithPadding(AutoTokenizer.from_pretrained(Kit().model("encoder")))
    >>> collate_quickly([{"input_ids": [2, 3], "label": 1}], collate)
    {'input_ids': tensor([[2, 3]]), 'attention_mask': tensor([[1, 1]]), 'labels': tensor([1])}
    """
    tokenizer, names = collate.tokenizer, [*rows[0]]
    if {*names} - {*USUAL} or tokenizer.pad_token_id is None:
        return collate(rows)
    columns = {name: [row[name] for row in rows] for name in names}
    labels = [columns.pop(name) for name in ("label", "labels") if name in columns]
    weights = {name: torch.tensor(columns.pop(name)) for name in (ROW_WEIGHT,) if name in columns}
    if "attention_mask" in tokenizer.model_input_names:
        columns.setdefault("attention_mask", [[1] * len(ids) for ids in columns["input_ids"]])
    batch = pad_rows(columns, range(len(rows)), tokenizer)
    return batch | weights | ({"labels": torch.tensor(labels[0])} if labels else {})


def quicker(collate: Collate) -> Collate:
    """A quicker function for the same batches, where `collate` is a plain `DataCollatorWithPadding`.

    >>> from transformers import default_data_collator
    >>> quicker(default_data_collator) is default_data_collator
    True
    """
    plain = type(collate) is DataCollatorWithPadding and (collate.padding, collate.pad_to_multiple_of) == (True, None)
    return partial(collate_quickly, collate=collate) if plain and collate.return_tensors == "pt" else collate


def token_batches(lengths: Sequence[int], batch_size: int, batch_tokens: int) -> list[list[int]]:
    """Row numbers, shortest rows first, in batches of up to `batch_size` rows and, padded, `batch_tokens` tokens.

    A row that is longer than `batch_tokens` has a batch of its own.

    >>> token_batches([3, 9, 2], batch_size=8, batch_tokens=8)
    [[2, 0], [1]]
    """
    batches = []
    for row in np.argsort(lengths, kind="stable").tolist():
        if not batches or len(batches[-1]) >= min(batch_size, batch_tokens // max(lengths[row], 1)):
            batches.append([])
        batches[-1].append(row)
    return batches


BATCH_TOKENS = {"cpu": 2048}  # that go through a model at once; elsewhere as below


def tokens_at_once(device: torch.device | str, training: bool = False) -> int:
    """How many tokens go through a model at once: a processor is quicker with few, and needs less memory.

    Elsewhere, training takes fewer, since it keeps what each layer made.

    >>> tokens_at_once("cpu"), tokens_at_once("cpu", training=True), tokens_at_once("cuda")
    (2048, 2048, 32768)
    """
    return BATCH_TOKENS.get(torch.device(device).type, 16_384 if training else 32_768)


CORE_TOKENS = {"no": 512, "bf16": 1024}  # that a core works on at once: as many as fit into its caches
TOGETHER = 256  # tokens that are too few to be shared out


def tokens_apart(total: int, at_once: int, precision: str) -> int:
    """How many of `total` tokens make a batch, where several batches are worked on at once: so that there are several.

    >>> tokens_apart(10_000, 2, "no"), tokens_apart(640, 2, "no"), tokens_apart(64, 2, "no")
    (512, 400, 256)
    """
    return max(min(CORE_TOKENS[precision], 5 * total // (4 * at_once)), TOGETHER)


LONG = 256  # tokens; of longer rows fewer go through a model at once, since attention keeps something for each pair


def parts_of(batch: Mapping[str, torch.Tensor], most: int | None = None) -> list[Mapping[str, torch.Tensor]]:
    """A batch in parts of up to `most` tokens with their padding, but of a row at least; a small one as it is.

    Without `most`, as many as go through a model at once in training, on the batch's device. Of rows twice as long as
    256 tokens half as many go.

    >>> [len(part["labels"]) for part in parts_of({"input_ids": torch.zeros(5, 4), "labels": torch.zeros(5)}, 8)]
    [2, 2, 1]
    """
    ids = batch.get("input_ids")
    if ids is None or ids.ndim != 2 or len(ids) < 2:
        return [batch]
    most = int((most or tokens_at_once(ids.device, training=True)) * min(1, LONG / max(ids.shape[1], 1)))
    if ids.numel() <= most:
        return [batch]
    size = max(most // ids.shape[1], 1)
    if not all(isinstance(tensor, torch.Tensor) and tensor.shape[:1] == ids.shape[:1] for tensor in batch.values()):
        return [batch]
    parts = zip(*(tensor.split(size) for tensor in batch.values()), strict=True)
    return [dict(zip(batch, part, strict=True)) for part in parts]


def make_loader(data: Dataset, collate: Collate, config, num_processes: int = 1) -> DataLoader:
    """The batches of an epoch, in an order that `config.seed` decides; those that share a step are alike.

    >>> from ftcourse.loop import TrainConfig
    >>> data = Dataset.from_dict({"input_ids": [[2, 3]] * 5})
    >>> len(make_loader(data, list, TrainConfig(batch_size=2)))
    3
    """
    options = {"collate_fn": quicker(collate), "num_workers": config.workers, "pin_memory": torch.cuda.is_available()}
    if config.sampling == "random":
        generator = torch.Generator().manual_seed(config.seed)
        return DataLoader(data, config.batch_size, shuffle=True, generator=generator, **options)
    batches = LengthBatches(token_lengths(data), config.batch_size, seed=config.seed, together=num_processes)
    return DataLoader(data, batch_sampler=batches, **options)
