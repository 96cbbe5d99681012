"""The encoder of the next kit: it loads as the library loads any, and it knows words."""

import pytest
import torch
from transformers import AutoModel, AutoTokenizer, pipeline

from tools.settings import ROOT

ENCODER = ROOT / "kit" / "next" / "models" / "encoder"


def test_it_is_small_and_read_in_float32():
    assert sum(file.stat().st_size for file in ENCODER.iterdir()) < 40_000_000
    assert {parameter.dtype for parameter in AutoModel.from_pretrained(ENCODER).parameters()} == {torch.float32}


@pytest.mark.parametrize(
    ("text", "likely"),
    [
        ("She opened the [MASK] and looked outside.", {"door", "window", "house"}),
        ("القاهرة هي عاصمة [MASK].", {"مصر"}),
        ("这家酒店的房间很[MASK]。", {"不错", "舒服", "好", "差"}),
    ],
)
def test_it_guesses_hidden_words(text, likely):
    fill = pipeline("fill-mask", model=str(ENCODER))
    assert likely & {offer["token_str"].strip() for offer in fill(text)}


@pytest.mark.parametrize(
    "spellings",
    [
        ("الأكل جميل جدًّا", "الاكل جميل جدا", "الأكـــل جَميل جدًا", "\u200fالأكل جميل جدا"),
        ("خدمة رائعة إلى الآن", "خدمه رائعه الي الان"),
        ("حلوووو", "حلووووووو"),
        ("٥ من ٥", "5 من 5"),
        ("This was GREAT", "this was great"),
    ],
)
def test_spelling_makes_no_difference_to_it(spellings):
    tokenizer = AutoTokenizer.from_pretrained(ENCODER)
    assert len({tuple(tokenizer(text)["input_ids"]) for text in spellings}) == 1


def test_no_text_is_unknown_to_it():
    tokenizer = AutoTokenizer.from_pretrained(ENCODER)
    for text in ("كبسة", "naïve café 🔥", "Привет", "ขอบคุณ", "𠮷"):
        ids = tokenizer(text)["input_ids"]
        assert tokenizer.unk_token_id not in ids and len(ids) > 2
    assert "▁café" in tokenizer.tokenize("a naïve café")
    pair = tokenizer("a", "b")
    assert tokenizer.convert_ids_to_tokens(pair["input_ids"])[0] == "[CLS]" and pair["token_type_ids"][-1] == 1
