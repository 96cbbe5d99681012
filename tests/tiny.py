"""A classifier small enough to be trained within a test, and tables as they come from the wild."""

import signal
from pathlib import Path

import pandas as pd
import torch
from datasets import load_dataset
from transformers import AutoTokenizer, BertConfig, BertForSequenceClassification

from ftcourse.kit import Kit
from ftcourse.loop import TrainConfig


def heed_interrupts() -> None:
    """Makes a new process heed Ctrl-C, even where the tests run in the background, which ignores it."""
    signal.signal(signal.SIGINT, signal.SIG_DFL)


def same_weights(first: torch.nn.Module, second: torch.nn.Module) -> bool:
    """Whether two models have the same weights, bit by bit, under the same names."""
    one, other = first.state_dict(), second.state_dict()
    return bool(one) and one.keys() == other.keys() and all(torch.equal(one[name], other[name]) for name in one)


FAST = TrainConfig(epochs=1, batch_size=64, lr=5e-3)


def tiny_checkpoint(folder: Path, positions: int = 64) -> str:
    """A folder with a very small model, which reads as many tokens as it has positions, and the kit's tokenizer."""
    torch.manual_seed(0)
    tokenizer = AutoTokenizer.from_pretrained(Kit().model("encoder"))
    tokenizer.model_max_length = max(positions, 512)
    sizes = {"hidden_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2, "intermediate_size": 32}
    config = BertConfig(vocab_size=len(tokenizer), max_position_embeddings=positions, **sizes)
    BertForSequenceClassification(config).save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return str(folder)


def wild_table(lang: str, size: int) -> pd.DataFrame:
    """Unbalanced reviews with doubles, gaps, contradictions, quotes, line breaks; from `size` rows."""
    reviews = load_dataset(*Kit(lang).dataset("reviews"))["train"].to_pandas()
    mark = "Café" if lang == "en" else ""  # a letter that tells the encodings apart
    texts = [
        f'{number} "{text}"\n{text[:20]}, ; {mark}'
        for number in range(size)
        for text in [reviews["text"][number % 5000]]
    ]
    labels = [int(reviews["label"][number % 5000]) for number in range(size)]
    frame = pd.DataFrame({"id": range(size), "review": texts, "stars": labels})
    frame = frame[(frame["stars"] != 0) | (frame["id"] % 10 == 0)]
    doubles, gaps = frame.head(100), frame.iloc[100:150].assign(review=None)
    blank, unrated = frame.iloc[150:160].assign(review="  \n"), frame.iloc[160:180].assign(stars=None)
    other = frame.iloc[200:210].assign(stars=lambda rows: (rows["stars"] + 1) % 5)
    wild = pd.concat([frame, doubles, gaps, blank, unrated, other])
    return wild.assign(stars=wild["stars"].astype("Int64"))
