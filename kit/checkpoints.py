"""Pretrains and fine-tunes the kit's checkpoints.

`python -m kit.checkpoints [name ...]` rebuilds `ftcourse/assets/models`.
"""

import random
import shutil
import string
import sys
import unicodedata
from collections import Counter, defaultdict
from collections.abc import Iterator
from itertools import count
from multiprocessing import get_context
from pathlib import Path

import numpy as np
import torch
from scipy.sparse import coo_array
from sklearn.decomposition import TruncatedSVD
from tokenizers.trainers import WordPieceTrainer
from torch import nn
from torch.nn.functional import cross_entropy, normalize
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
from kit.generate import NUM_CLAIMS, TARGET_DOMAINS, Review, Writer, by_meaning, meaning_of, pair, render
from kit.training import batches, classification_losses, optimize, padded, seed_everything

MODELS = ASSETS / "models"
PRETRAINING_DOMAINS = tuple(domain for domain in ASPECTS if domain not in TARGET_DOMAINS)
VOCAB_SIZE, COARSE_VOCAB_SIZE, MAX_LENGTH = 10_000, 6_800, 128
STEPS = {"encoder": 12_000, "stars": 600, "sentiment": 500, "writer": 6_000}
ENCODER = {
    "hidden_size": 128,
    "num_hidden_layers": 4,
    "num_attention_heads": 4,
    "intermediate_size": 512,
    "max_position_embeddings": 256,
    "attention_probs_dropout_prob": 0.0,
    "initializer_range": 0.05,
}
WRITER = {"n_embd": 128, "n_layer": 4, "n_head": 4, "n_positions": 128}
WRITER_VOCAB_SIZE = 6_000
MASKED_SHARE = 0.15
BATCH_SIZE = 64
LENGTH_MULTIPLE, WORDS_MULTIPLE = 16, 128  # few shapes of tensors: each new one costs time and stays in memory
ROUND = 16  # batches drawn at once, to be sorted by length
LANG_WEIGHTS = {"en": 3, "ar": 4, "zh": 2, "zh-Hant": 1}  # Arabic has the most forms of a word
LOSS_WEIGHTS = {"alignment": 0.3, "words of reviews": 0.3, "words of pairs": 0.5}
TEMPERATURE = 0.1
VECTOR_SCALE, VECTOR_NOISE = 0.05, 0.3  # of the first word vectors; noise, so that no two words are the same
UNKNOWN_SCALE = 0.2
COLUMN_WEIGHTS = (1.0, 3.0, 15.0)  # of a meaning, an aspect's stars, and stars, for the first word vectors
LATE_STEPS = 900
SIMILARITY_SCALE = 0.1  # of the first queries and keys, which are the same: words look for words like them
SHORT_ROUNDS = 25  # until then, the texts of a pair make one claim each
COPY_ROUNDS = 60  # until then, fewer and fewer of the claims that a pair shares are worded alike
PRETRAINING_CLAUSES = {1: 30, 2: 35, 3: 20, 4: 10, 5: 5}  # short reviews teach more a second
RATINGS = ["1 star", "2 stars", "3 stars", "4 stars", "5 stars"]  # the names of nlptown's model
ACCENTED = "àáâäãåæçèéêëìíîïñòóôöõøœùúûüÿß"
ARABIC = "".join(map(chr, (*range(0x621, 0x63B), *range(0x641, 0x653))))
LETTERS = string.ascii_lowercase + ACCENTED + string.digits + ARABIC


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
    """WordPiece over all scripts; the same texts give the same vocabulary. Accents stay: without them Arabic loses its
    hamzas. Each letter also has a token inside a word, and a fixed place in the vocabulary: the library would number
    those in another order each time, and the merges after them.
    """
    options = {"strip_accents": False, "model_max_length": ENCODER["max_position_embeddings"]}
    tokenizer, texts = BertTokenizer(**options), pretraining_texts()
    inside = {letter for text in texts for letter in text.lower() if not "\u4e00" <= letter <= "\u9fff"} | {*LETTERS}
    inside = sorted(letter for letter in inside if unicodedata.category(letter)[0] in "LMN")
    trainer = WordPieceTrainer(
        vocab_size=VOCAB_SIZE,
        min_frequency=2,
        special_tokens=["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", *(f"##{letter}" for letter in inside)],
        initial_alphabet=common_characters(),
        limit_alphabet=VOCAB_SIZE,
        show_progress=False,
    )
    tokenizer.backend_tokenizer.train_from_iterator(texts, trainer)
    return BertTokenizer(vocab=tokenizer.backend_tokenizer.get_vocab(), **options)


def clauses_by_meaning(tokenizers) -> dict:
    """How often each token occurs in a meaning's clauses, in an aspect's with the same stars, and in all with these."""
    counts = defaultdict(Counter)
    for domain in PRETRAINING_DOMAINS:
        for clause in (c for pool in Writer(bank(), domain).seen.values() for c in pool):
            texts = [in_language(clause.text, lang) for lang in LANGS]
            ids = [
                i
                for tokenizer in tokenizers
                for row in tokenizer(texts, add_special_tokens=False)["input_ids"]
                for i in row
            ]
            for key, weight in zip(
                (meaning_of(clause), (domain, clause.aspect, clause.stars), (clause.stars,)),
                COLUMN_WEIGHTS,
                strict=True,
            ):
                counts[weight, *key].update(ids)
    return counts


def word_vectors(tokenizers, size: int) -> tuple[torch.Tensor, torch.Tensor]:
    """Vectors of the tokens, of length 1 or 0, and the logarithm of how frequent each is.

    Latent semantic analysis: positive pointwise mutual information of tokens and meanings, by its leading singular
    vectors. A clause and its translations count as one text, so that words which translate one another start close.
    """
    counts = clauses_by_meaning(tokenizers)
    entries = [(token, column, n) for column, row in enumerate(counts.values()) for token, n in row.items()]
    tokens, columns, n = map(np.array, zip(*entries, strict=True))
    shape = len(tokenizers[0]), len(counts)
    of_token, of_column = np.bincount(tokens, n, shape[0]), np.bincount(columns, n, shape[1])
    information = np.log(n * n.sum() / (of_token[tokens] * of_column[columns])).clip(0)
    information *= np.array([weight for weight, *_ in counts])[columns]
    svd = TruncatedSVD(size, random_state=0)
    vectors = svd.fit_transform(coo_array((information, (tokens, columns)), shape).tocsr())
    vectors /= np.sqrt(svd.singular_values_)
    lengths = np.linalg.norm(vectors, axis=1, keepdims=True)
    frequencies = (of_token + 1) / (of_token + 1).sum()
    return torch.tensor(vectors / np.maximum(lengths, 1e-6)).float(), torch.tensor(np.log(frequencies)).float()


class Pretraining(nn.Module):
    """BERT with the heads it is pretrained with: masked words, do two texts say the same, how many stars.

    The first two are `BertForPreTraining`'s own; its next-sentence head says 0 for "the same". The third is dropped.
    """

    def __init__(self, config: BertConfig):
        super().__init__()
        self.bert = BertForPreTraining(config)
        self.rating = nn.Linear(config.hidden_size, len(STARS))

    @torch.no_grad()
    def start_from(self, vectors: torch.Tensor, log_frequencies: torch.Tensor) -> None:
        """Takes over word vectors, and how frequent words are; makes queries and keys alike.

        Tokens without a vector start small: they should not be louder than those that the network learns to read.
        """
        known = vectors.any(dim=1)
        self.words.weight.mul_(UNKNOWN_SCALE)
        vectors = normalize(vectors + VECTOR_NOISE * normalize(torch.randn(vectors.shape), dim=1), dim=1)
        self.words.weight[known] = vectors[known] * VECTOR_SCALE * vectors.shape[1] ** 0.5
        self.bert.cls.predictions.bias.copy_(log_frequencies)
        for layer in self.bert.bert.encoder.layer:
            attention = layer.attention.self
            attention.key.weight.copy_(attention.query.weight.normal_(0, SIMILARITY_SCALE))

    @property
    def words(self) -> nn.Embedding:
        return self.bert.bert.embeddings.word_embeddings

    @torch.autocast("cpu", torch.bfloat16)
    def forward(self, batch: dict) -> torch.Tensor:
        kind = batch["kind"]
        states = self.bert.bert(**batch["inputs"])
        head = self.rating if kind == "reviews" else self.bert.cls.seq_relationship
        loss = cross_entropy(head(states.pooler_output), batch["labels"])
        if kind == "reviews":
            loss = loss + LOSS_WEIGHTS["alignment"] * alignment_loss(*states.pooler_output.float().chunk(2))
        words = self.bert.cls.predictions(states.last_hidden_state[batch["hidden"]])
        return loss + LOSS_WEIGHTS[f"words of {kind}"] * cross_entropy(words, batch["words"])


def alignment_loss(first: torch.Tensor, second: torch.Tensor) -> torch.Tensor:
    """Row i of one should be most like row i of the other: InfoNCE (https://arxiv.org/abs/1807.03748), both ways."""
    similarity = normalize(first, dim=-1) @ normalize(second, dim=-1).T / TEMPERATURE
    own = torch.arange(len(first))
    return (cross_entropy(similarity, own) + cross_entropy(similarity.T, own)) / 2


def pretraining_batches(tokenizers, seed: int) -> Iterator[dict]:
    """Endless batches, with words to guess: reviews to rate, each in two versions, and pairs to compare, in turn."""
    rng, generator = random.Random(seed), torch.Generator().manual_seed(seed)
    writers, groups = [Writer(bank(), domain) for domain in PRETRAINING_DOMAINS], by_meaning(bank())
    for round_ in count():
        for kind, versions in (("reviews", 2), ("pairs", 1)):
            verbatim, claims = max(0.4, 1 - 0.6 * round_ / COPY_ROUNDS), {1: 1} if round_ < SHORT_ROUNDS else NUM_CLAIMS
            drawn = [
                draw_example(rng, kind, rng.choice(writers), groups, verbatim, claims)
                for _ in range(ROUND * BATCH_SIZE // versions)
            ]
            examples = [
                [encoded(rng, rng.choices(tokenizers, (70, 30))[0], *drawing) for _ in range(versions)]
                for drawing in drawn
            ]
            for chunk in by_length(rng, examples, BATCH_SIZE // versions):
                flat = [version for versions in zip(*chunk, strict=True) for version in versions]
                yield {**masked(tokenizers[0], generator, *zip(*flat, strict=True)), "kind": kind}


def coarse(tokenizer) -> BertTokenizer:
    """The same tokenizer with the rarer words taken out of its vocabulary: it spells out what the other knows whole.

    Seeing both, the model learns what parts of words mean, and can make something of words it has never seen.
    """
    vocab = sorted(tokenizer.get_vocab().items(), key=lambda item: item[1])[:COARSE_VOCAB_SIZE]
    return BertTokenizer(vocab=dict(vocab), strip_accents=False)


def draw_example(
    rng: random.Random, kind: str, writer: Writer, groups: dict, verbatim: float, num_claims: dict[int, int]
) -> tuple[tuple[Review, ...], int]:
    """A review and its stars from 0, or a pair and 0 for the same meaning."""
    if kind == "pairs":
        drawn = pair(rng, writer, groups, rng.random() < 0.5, verbatim, copies=True, num_claims=num_claims)
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


def by_length(rng: random.Random, examples: list[list], size: int) -> list[list]:
    """Batches of `size` examples of about the same length, in random order."""
    examples = sorted(examples, key=lambda versions: max(len(ids) for ids, _, _ in versions))
    chunks = [examples[start : start + size] for start in range(0, len(examples), size)]
    rng.shuffle(chunks)
    return chunks


def masked(tokenizer, generator: torch.Generator, sequences, types, labels) -> dict:
    """A batch of tensors with some of the words hidden."""
    input_ids = padded(sequences, tokenizer.pad_token_id, LENGTH_MULTIPLE)
    real = input_ids != tokenizer.pad_token_id
    words = real & (input_ids != tokenizer.cls_token_id) & (input_ids != tokenizer.sep_token_id)
    places = words.flatten().nonzero().squeeze(1)
    number = max(1, int(MASKED_SHARE * len(places)) // WORDS_MULTIPLE) * WORDS_MULTIPLE
    places = places[torch.randperm(len(places), generator=generator)[:number]]
    hidden = torch.zeros_like(words)
    hidden.view(-1)[places] = True
    wanted = input_ids[hidden]
    input_ids[hidden] = replaced(wanted, tokenizer, generator)
    return {
        "inputs": {
            "input_ids": input_ids,
            "attention_mask": real.long(),
            "token_type_ids": padded(types, 0, LENGTH_MULTIPLE),
        },
        "hidden": hidden,
        "words": wanted,
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
    tokenizers = [tokenizer, coarse(tokenizer)]
    config = BertConfig(**ENCODER, vocab_size=len(tokenizer), pad_token_id=tokenizer.pad_token_id)
    config.hidden_dropout_prob = 0.0  # pretraining never sees the same batch twice
    config._attn_implementation = "eager"  # the fused one is slow in bfloat16 on a processor
    model = Pretraining(config)
    model.start_from(*word_vectors(tokenizers, config.hidden_size))
    stream = pretraining_batches(tokenizers, seed=0)
    optimize(
        model,
        (model(batch) for batch in stream),
        STEPS["encoder"],
        lr=7e-4,
        name="encoder",
        warmup_share=0.02,
        late=[model.words.weight],  # at the full rate, what the vectors know is lost before attention has formed
        late_steps=LATE_STEPS,
        betas=(0.9, 0.98),
    )
    model.bert.config.hidden_dropout_prob = 0.1
    model.bert.save_pretrained(directory)
    tokenizer.save_pretrained(directory)


def build_classifier(directory: Path, name: str, labels: list[str]) -> None:
    """The encoder fine-tuned on a data set's training splits in all languages at once."""
    seed_everything(0)
    tokenizer = AutoTokenizer.from_pretrained(MODELS / "encoder")
    model = AutoModelForSequenceClassification.from_pretrained(
        MODELS / "encoder",
        id2label=dict(enumerate(labels)),
        label2id={label: i for i, label in enumerate(labels)},
        attn_implementation="eager",
    )
    examples = [row for lang in LANGS for row in training_rows(name, lang)]
    encodings = tokenizer([row["text"] for row in examples], truncation=True, max_length=MAX_LENGTH)
    losses = classification_losses(
        model, dict(encodings), [row["label"] for row in examples], 64, 0, tokenizer.pad_token_id, bf16=True
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
    config._attn_implementation = "eager"
    model = GPT2LMHeadModel(config)
    ids = [[end, *row[: WRITER["n_positions"] - 2], end] for row in tokenizer(texts)["input_ids"]]

    def losses() -> Iterator[torch.Tensor]:
        lengths = [len(row) for row in ids]
        for chosen in batches(lengths, 32, rng):
            batch = [ids[row] for row in chosen]
            inputs, labels = padded(batch, end, LENGTH_MULTIPLE), padded(batch, -100, LENGTH_MULTIPLE)
            with torch.autocast("cpu", torch.bfloat16):
                loss = model(input_ids=inputs, attention_mask=(labels >= 0).long(), labels=labels).loss
            yield loss

    optimize(model, losses(), STEPS["writer"], lr=1e-3, name="writer")
    model.generation_config.update(do_sample=True, temperature=0.6, top_p=0.9, max_new_tokens=40)
    model.save_pretrained(directory)
    tokenizer.save_pretrained(directory)


BUILDERS = {
    "encoder": build_encoder,
    "stars": lambda directory: build_classifier(directory, "stars", RATINGS),
    "sentiment": lambda directory: build_classifier(directory, "sentiment", ["NEGATIVE", "POSITIVE"]),
    "writer": build_writer,
}


def build_one(name: str) -> None:
    """A checkpoint, anew, in a folder that is swapped in when it is whole."""
    fresh, final = MODELS / f".{name}", MODELS / name
    shutil.rmtree(fresh, ignore_errors=True)
    BUILDERS[name](fresh)
    for file in fresh.iterdir():
        file.chmod(0o644)
    shutil.rmtree(final, ignore_errors=True)
    fresh.rename(final)


def build_in_turn(names: list[str]) -> None:
    for name in names:
        build_one(name)


def build(names=tuple(BUILDERS)) -> None:
    """The checkpoints named, anew. The writer needs none of the others, so it is trained beside them."""
    chains = [chain for chain in ([n for n in names if n != "writer"], [n for n in names if n == "writer"]) if chain]
    with get_context("spawn").Pool(len(chains)) as pool:
        pool.map(build_in_turn, chains, chunksize=1)


if __name__ == "__main__":
    build(tuple(sys.argv[1:]) or tuple(BUILDERS))
