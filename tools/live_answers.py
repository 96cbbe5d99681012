"""The examples of the pages with models in them, taken from the notebooks, and Python's answers to them.

A browser that cannot run the models shows these answers, and the tests compare them with those of the browser.
"""

import ast
import functools

import nbformat
import numpy as np
import torch
from transformers import AutoModel, AutoModelForMaskedLM, AutoModelForSequenceClassification, AutoTokenizer

from ftcourse.inference import Predictor
from ftcourse.kit import Kit
from ftcourse.tokens import pieces
from tools.settings import notebook

# What a page begins with: the chapter and the cell that assigns it. A reader of the chapter meets old friends.
CELLS = {
    "mine": ("01_pipeline", "mine-code"),
    "gap": ("01_pipeline", "gap-code"),
    "alike": ("01_pipeline", "sentences-code"),
    "sentence": ("04_model", "att-text"),
    "rude": ("04_model", "hide-text"),
    "two": ("07_inference", "yours-two"),
}
LIKELIEST = 5
DIGITS = 4


@functools.cache
def assigned(lang: str, chapter: str, cell: str) -> dict:
    """The names that a cell of strings assigns, with their values.

    >>> assigned("en", "01_pipeline", "gap-code")
    {'gap': 'I drink my [MASK] without sugar.'}
    """
    cells = nbformat.read(notebook(lang, chapter), as_version=4).cells
    [source] = [entry.source for entry in cells if entry.id == cell]
    return {line.targets[0].id: ast.literal_eval(line.value) for line in ast.parse(source).body}


def examples(lang: str) -> dict[str, list[list[str]]]:
    """For each kind of page some inputs; most kinds take one text, `similar` takes two.

    >>> examples("en")["hidden"][0]
    ['I drink my [MASK] without sugar.']
    """
    found = {name: assigned(lang, *place) for name, place in CELLS.items()}
    two, mine = found["two"]["two_texts"], found["mine"]["mine"]
    sentences, translations = found["alike"]["sentences"], found["alike"]["translations"]
    return {
        "tokens": [[text] for text in (*two, *mine[:2])],
        "stars": [[text] for text in (*two, *mine)],
        "words": [[text] for text in two],
        "hidden": [[text] for text in (found["gap"]["gap"], found["rude"]["rude"], found["rude"]["friendly"])],
        "similar": [[sentences[0], translations[0]], [sentences[0], translations[1]], [sentences[1], translations[1]]],
        "attention": [[found["sentence"]["sentence"]]],
    }


class Answers:
    """The kit's models in Python: a method for each kind of page, whose answer has the form of the browser's.

    >>> Answers().similar("The soup is cold.", "The soup is cold.")
    {'cosine': 1.0}
    """

    def __init__(self):
        kit = Kit("en", source="kit")
        self.tokenizer = AutoTokenizer.from_pretrained(kit.model("encoder"))
        self.body = AutoModel.from_pretrained(kit.model("encoder"), attn_implementation="eager").eval()
        self.guesser = AutoModelForMaskedLM.from_pretrained(kit.model("encoder")).eval()
        self.judges = {
            name: Predictor(
                AutoModelForSequenceClassification.from_pretrained(kit.model(name)), self.tokenizer, precision="no"
            )
            for name in ("stars", "sentiment")
        }

    def tokens(self, text: str) -> dict:
        """The pieces, each with its id and the part of the text that it stands for."""
        return {"pieces": [piece._asdict() for piece in pieces(self.tokenizer, text)]}

    def stars(self, text: str) -> dict:
        """Probabilities of one star to five, and of complaint and praise."""
        return {name: rounded(judge.predict([text]).probabilities[0]) for name, judge in self.judges.items()}

    def words(self, text: str) -> dict:
        """What each piece adds to the average number of stars: the whole minus the text without it (chapter 07)."""
        encoding = self.tokenizer(text, return_offsets_mapping=True)
        found = zip(encoding.tokens(), encoding["offset_mapping"], strict=True)
        # A lone mark at the beginning stands for nothing in the text, though it has the place of the first letter.
        places = [place for token, place in found if token != "▁" or not text[slice(*place)].strip(" ▁")]
        places = [(start, end) for start, end in dict.fromkeys(places) if start < end]
        without = [text[:start] + text[end:] for start, end in places]
        averages = np.array(
            [self.judges["stars"].predict([one]).probabilities[0] @ np.arange(1, 6) for one in (text, *without)]
        )
        parts = [text[start:end] for start, end in places]
        return {"average": rounded(averages[0]), "parts": parts, "effects": rounded(averages[0] - averages[1:])}

    @torch.inference_mode()
    def hidden(self, text: str) -> dict:
        """The likeliest tokens in place of the first mask."""
        inputs = self.tokenizer(text, return_tensors="pt", truncation=True)
        place = inputs["input_ids"][0].tolist().index(self.tokenizer.mask_token_id)
        likeliest = self.guesser(**inputs).logits[0, place].softmax(0).topk(LIKELIEST)
        words = [self.tokenizer.decode([token]) for token in likeliest.indices.tolist()]
        return {"guesses": words, "scores": rounded(likeliest.values.numpy())}

    @torch.inference_mode()
    def similar(self, one: str, other: str) -> dict:
        """The cosine similarity of the mean vectors of two texts (chapter 01)."""
        means = [
            self.body(**self.tokenizer(text, return_tensors="pt", truncation=True)).last_hidden_state[0].mean(0)
            for text in (one, other)
        ]
        return {"cosine": rounded(torch.cosine_similarity(*means, dim=0).numpy())}

    @torch.inference_mode()
    def attention(self, text: str) -> dict:
        """The shares of attention: layers, heads, tokens that look, tokens looked at (chapter 04)."""
        inputs = self.tokenizer(text, return_tensors="pt", truncation=True)
        shares = torch.cat(self.body(**inputs, output_attentions=True).attentions)
        return {"tokens": inputs.tokens(), "shares": rounded(shares.numpy(), 3)}


def rounded(numbers: np.ndarray, digits: int = DIGITS):
    """Numbers as JSON takes them."""
    return np.asarray(numbers, dtype=np.float64).round(digits).tolist()


@functools.cache
def answers() -> Answers:
    """The models, loaded once."""
    return Answers()


def stored_answers(inputs: dict[str, list[list[str]]]) -> dict[str, list[dict]]:
    """Each input with Python's answer, by kind."""
    ask = answers()
    return {
        kind: [{"input": texts, "answer": getattr(ask, kind)(*texts)} for texts in rows]
        for kind, rows in inputs.items()
    }
