"""Pretrains and fine-tunes the kit's checkpoints.

`python -m kit.checkpoints [name ...]` rebuilds `ftcourse/assets/models`.
"""

import random
import shutil
import string
import sys
from collections.abc import Iterator
from itertools import count
from pathlib import Path

import torch
from torch import nn
from torch.nn.functional import cross_entropy
from transformers import (
    AutoModelForSequenceClassification,
    AutoTokenizer,
    BertConfig,
    BertForPreTraining,
    BertTokenizer,
    GPT2Config,
    GPT2LMHeadModel,
    GPT2Tokenizer,
)

from kit.bank import ASPECTS
from kit.data import ASSETS, LANGS, STARS, bank, in_language, rows
from kit.generate import TARGET_DOMAINS, Review, Writer, by_meaning, pair, render
from kit.training import batches, classification_losses, optimize, padded, seed_everything

MODELS = ASSETS / "models"
PRETRAINING_DOMAINS = tuple(domain for domain in ASPECTS if domain not in TARGET_DOMAINS)
VOCAB_SIZE, COARSE_VOCAB_SIZE, MAX_LENGTH = 10_000, 6_800, 128
STEPS = {"encoder": 3_600, "stars": 600, "sentiment": 500, "writer": 800}
ENCODER = {
    "hidden_size": 128,
    "num_hidden_layers": 4,
    "num_attention_heads": 4,
    "intermediate_size": 512,
    "max_position_embeddings": 256,
    "attention_probs_dropout_prob": 0.0,
}
WRITER = {"n_embd": 128, "n_layer": 4, "n_head": 4, "n_positions": 128}
WRITER_VOCAB_SIZE = 6_000
MASKED_SHARE = 0.2
BATCH_SIZE = 64
ROUND = 16  # batches drawn at once, to be sorted by length
LANG_WEIGHTS = {"en": 3, "ar": 4, "zh": 2, "zh-Hant": 1}  # Arabic has the most forms of a word
RATING_ROUNDS = 35  # of ratings alone: with hidden words from the start, the ratings are never learned
WORDS_WEIGHT = 0.3
PRETRAINING_CLAUSES = {1: 30, 2: 35, 3: 20, 4: 10, 5: 5}  # short reviews teach more a second
RATINGS = ["1 star", "2 stars", "3 stars", "4 stars", "5 stars"]  # the names of nlptown's model
LETTERS = string.ascii_lowercase + string.digits + "".join(map(chr, (*range(0x621, 0x63B), *range(0x641, 0x653))))


def common_characters() -> list[str]:
    """Letters and marks of the three scripts.

    Of Han, the 3,755 common characters of GB 2312's first level and their traditional forms.
    """
    simplified = [
        bytes((row, column)).decode("gb2312", "ignore") for row in range(0xB0, 0xD8) for column in range(0xA1, 0xFF)
    ]
    simplified = [character for character in simplified if character]
    traditional = "".join(in_language(lambda _, c=c: c, "zh-Hant") for c in simplified)
    return sorted(
        {*simplified, *traditional, *LETTERS, *string.punctuation, *"،؛؟“”‘’…—–。，、；：？！（）《》·「」『』～"}
    )


def pretraining_texts() -> list[str]:
    """The clauses of the pretraining domains in all languages, without those held out."""
    writers = [Writer(bank(), domain) for domain in PRETRAINING_DOMAINS]
    clauses = [c for writer in writers for pool in (*writer.seen.values(), writer.openings) for c in pool]
    return [in_language(c.text, lang) for lang in LANGS for c in clauses]


def train_tokenizer() -> BertTokenizer:
    """WordPiece over all scripts. Accents stay: without them Arabic loses its hamzas."""
    tokenizer = BertTokenizer(strip_accents=False, model_max_length=ENCODER["max_position_embeddings"])
    spelled = [" ".join(2 * letter for letter in LETTERS)] * 2  # so that each letter also has a token inside a word
    return tokenizer.train_new_from_iterator(
        pretraining_texts() + spelled,
        VOCAB_SIZE,
        initial_alphabet=common_characters(),
        limit_alphabet=VOCAB_SIZE,
        min_frequency=2,
    )


class Pretraining(nn.Module):
    """BERT with the heads it is pretrained with: masked words, do two texts say the same, how many stars.

    The first two are `BertForPreTraining`'s own; its next-sentence head says 0 for "the same". The third is dropped.
    """

    def __init__(self, config: BertConfig):
        super().__init__()
        self.bert = BertForPreTraining(config)
        self.rating = nn.Linear(config.hidden_size, len(STARS))

    def forward(self, batch: dict) -> torch.Tensor:
        states = self.bert.bert(**batch["inputs"])
        head = self.bert.cls.seq_relationship if batch["kind"] == "pairs" else self.rating
        loss = cross_entropy(head(states.pooler_output), batch["labels"])
        if batch["guess_words"]:
            words = self.bert.cls.predictions(states.last_hidden_state[batch["hidden"]])
            loss = loss + WORDS_WEIGHT * cross_entropy(words, batch["words"])
        return loss


def pretraining_batches(tokenizer, seed: int) -> Iterator[dict]:
    """Batches without end: first reviews to rate, then reviews and pairs in turn, with words to guess."""
    rng, generator = random.Random(seed), torch.Generator().manual_seed(seed)
    writers, groups = [Writer(bank(), domain) for domain in PRETRAINING_DOMAINS], by_meaning(bank())
    tokenizers = [tokenizer, coarse(tokenizer)]
    for round_ in count():
        alone = round_ < RATING_ROUNDS
        for kind in ("reviews",) if alone else ("reviews", "pairs", "pairs"):
            drawn = [draw_example(rng, kind, rng.choice(writers), groups) for _ in range(ROUND * BATCH_SIZE)]
            examples = [encoded(rng, rng.choices(tokenizers, (70, 30))[0], *example) for example in drawn]
            for chunk in by_length(rng, examples):
                batch = masked(tokenizer, generator, *zip(*chunk, strict=True))
                yield {**batch, "kind": kind, "guess_words": not alone}


def coarse(tokenizer) -> BertTokenizer:
    """The same tokenizer with the rarer words taken out of its vocabulary: it spells out what the other knows whole.

    Seeing both, the model learns what parts of words mean, and can make something of words it has never seen.
    """
    vocab = sorted(tokenizer.get_vocab().items(), key=lambda item: item[1])[:COARSE_VOCAB_SIZE]
    return BertTokenizer(vocab=dict(vocab), strip_accents=False)


def draw_example(rng: random.Random, kind: str, writer: Writer, groups: dict) -> tuple[tuple[Review, ...], int]:
    """A review and its stars from 0, or a pair and 0 for the same meaning."""
    if kind == "pairs":
        drawn = pair(rng, writer, groups, rng.random() < 0.5, verbatim=0.5, copies=True)
        return (drawn.first, drawn.second), int(not drawn.same)
    verdict = rng.randint(1, 5)
    return (writer.review(rng, verdict, PRETRAINING_CLAUSES),), verdict - 1


def encoded(rng: random.Random, tokenizer, reviews: tuple[Review, ...], label: int) -> tuple[list[int], list[int], int]:
    """Token ids and types of one text or two, half of the time in one language, otherwise each in its own; label."""
    langs = rng.choices(list(LANG_WEIGHTS), list(LANG_WEIGHTS.values()), k=len(reviews))
    langs = langs[:1] * len(langs) if rng.random() < 0.5 else langs
    texts = [in_language(lambda lg, r=review: render(r, lg), lang) for review, lang in zip(reviews, langs, strict=True)]
    inputs = tokenizer(*texts, truncation=True, max_length=MAX_LENGTH)
    return inputs["input_ids"], inputs["token_type_ids"], label


def by_length(rng: random.Random, examples: list) -> list[list]:
    """Batches of examples of about the same length, in random order."""
    examples = sorted(examples, key=lambda example: len(example[0]))
    chunks = [examples[start : start + BATCH_SIZE] for start in range(0, len(examples), BATCH_SIZE)]
    rng.shuffle(chunks)
    return chunks


def masked(tokenizer, generator: torch.Generator, sequences, types, labels) -> dict:
    """A batch of tensors with some of the words hidden."""
    input_ids, token_type_ids = padded(sequences, tokenizer.pad_token_id), padded(types, 0)
    real = input_ids != tokenizer.pad_token_id
    hidden = (torch.rand(input_ids.shape, generator=generator) < MASKED_SHARE) & real
    hidden &= (input_ids != tokenizer.cls_token_id) & (input_ids != tokenizer.sep_token_id)
    words = input_ids[hidden]
    input_ids[hidden] = replaced(words, tokenizer, generator)
    return {
        "inputs": {"input_ids": input_ids, "attention_mask": real.long(), "token_type_ids": token_type_ids},
        "hidden": hidden,
        "words": words,
        "labels": torch.tensor(labels),
    }


def replaced(words: torch.Tensor, tokenizer, generator: torch.Generator) -> torch.Tensor:
    """What stands in place of words to guess: the mask, in one of ten a random word, in one of ten the word itself."""
    chance = torch.rand(words.shape, generator=generator)
    others = torch.randint(5, len(tokenizer), words.shape, generator=generator)
    mask = torch.full_like(words, tokenizer.mask_token_id)
    return torch.where(chance < 0.8, mask, torch.where(chance < 0.9, others, words))


def build_encoder(directory: Path) -> None:
    """The multilingual encoder, pretrained on the five domains that learners do not fine-tune on."""
    seed_everything(0)
    tokenizer = train_tokenizer()
    model = Pretraining(
        BertConfig(**ENCODER, hidden_dropout_prob=0.0, vocab_size=len(tokenizer), pad_token_id=tokenizer.pad_token_id)
    )
    stream = pretraining_batches(tokenizer, seed=0)
    optimize(model, (model(batch) for batch in stream), STEPS["encoder"], lr=1e-3, name="encoder")
    model.bert.config.hidden_dropout_prob = 0.1  # for fine-tuning; pretraining never sees the same batch twice
    model.bert.save_pretrained(directory)
    tokenizer.save_pretrained(directory)


def build_classifier(directory: Path, name: str, labels: list[str]) -> None:
    """The encoder fine-tuned on a data set's training splits in all languages at once."""
    seed_everything(0)
    tokenizer = AutoTokenizer.from_pretrained(MODELS / "encoder")
    model = AutoModelForSequenceClassification.from_pretrained(
        MODELS / "encoder", id2label=dict(enumerate(labels)), label2id={label: i for i, label in enumerate(labels)}
    )
    examples = [row for lang in LANGS for row in training_rows(name, lang)]
    encodings = tokenizer([row["text"] for row in examples], truncation=True, max_length=MAX_LENGTH)
    losses = classification_losses(
        model, dict(encodings), [row["label"] for row in examples], 64, 0, tokenizer.pad_token_id
    )
    optimize(model, losses, STEPS[name], lr=3e-4, name=name)
    model.save_pretrained(directory)
    tokenizer.save_pretrained(directory)


def training_rows(name: str, lang: str) -> list[dict]:
    """For `stars`, all of `reviews`; for `sentiment`, `films` and the reviews that are not in the middle."""
    if name == "stars":
        return rows("reviews", "train", lang)
    clear = [row for row in rows("reviews", "train", lang) if row["label"] != 2]
    return rows("films", "train", lang) + [{"text": row["text"], "label": int(row["label"] > 2)} for row in clear]


def build_writer(directory: Path) -> None:
    """A causal language model over reviews of all domains, in three languages."""
    seed_everything(0)
    rng = random.Random("writer")
    texts = []
    for domain in ASPECTS:
        writer = Writer(bank(), domain)
        for i in range(1_000):
            review = writer.review(rng, i % 5 + 1, PRETRAINING_CLAUSES)
            texts += [render(review, lang) for lang in ("en", "ar", "zh")]
    tokenizer = GPT2Tokenizer().train_new_from_iterator(texts, WRITER_VOCAB_SIZE)
    end = tokenizer.eos_token_id
    config = GPT2Config(**WRITER, vocab_size=len(tokenizer), bos_token_id=end, eos_token_id=end, pad_token_id=end)
    model = GPT2LMHeadModel(config)
    ids = [[end, *row[: WRITER["n_positions"] - 2], end] for row in tokenizer(texts)["input_ids"]]

    def losses() -> Iterator[torch.Tensor]:
        lengths = [len(row) for row in ids]
        for chosen in batches(lengths, 32, rng):
            batch = [ids[row] for row in chosen]
            yield model(input_ids=padded(batch, end), labels=padded(batch, -100)).loss

    optimize(model, losses(), STEPS["writer"], lr=3e-3, name="writer")
    model.generation_config.update(do_sample=True, top_p=0.9, max_new_tokens=40)
    model.save_pretrained(directory)
    tokenizer.save_pretrained(directory)


BUILDERS = {
    "encoder": build_encoder,
    "stars": lambda directory: build_classifier(directory, "stars", RATINGS),
    "sentiment": lambda directory: build_classifier(directory, "sentiment", ["NEGATIVE", "POSITIVE"]),
    "writer": build_writer,
}


def build(names=tuple(BUILDERS)) -> None:
    """The checkpoints named, anew, each in a folder that is swapped in when it is whole."""
    for name in names:
        fresh, final = MODELS / f".{name}", MODELS / name
        shutil.rmtree(fresh, ignore_errors=True)
        BUILDERS[name](fresh)
        for file in fresh.iterdir():
            file.chmod(0o644)
        shutil.rmtree(final, ignore_errors=True)
        fresh.rename(final)


if __name__ == "__main__":
    build(tuple(sys.argv[1:]) or tuple(BUILDERS))
