"""The encoder's tokenizer: the teacher's pieces that English, Arabic and Chinese need, with spelling made even.

Case, vowel marks, hamzas on alif, ة and ه, ى and ي, elongation and digits of other scripts make no difference to it.
The teacher's pieces that become the same by this are one piece here, and the commonest of them is what the teacher sees
in its place: so text that is spelled in any way reaches both as the same words.
"""

import unicodedata
from collections import Counter
from dataclasses import dataclass

import torch
from tokenizers import AddedToken, Regex, Tokenizer, decoders, normalizers, pre_tokenizers, processors
from tokenizers.models import Unigram
from transformers import PreTrainedTokenizerFast

from kit.teacher import END, PAD, START, UNKNOWN, Teacher
from kit.texts import traditional

SIZE = 24_000
MAX_LENGTH = 512
SPECIAL = ("[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]")
BYTES = tuple(f"<0x{byte:02X}>" for byte in range(256))
SPACE = "▁"
DIGITS = [("[٠۰]", "0"), ("[١۱]", "1"), ("[٢۲]", "2"), ("[٣۳]", "3"), ("[٤۴]", "4")]
DIGITS += [("[٥۵]", "5"), ("[٦۶]", "6"), ("[٧۷]", "7"), ("[٨۸]", "8"), ("[٩۹]", "9")]
DROPPED = r"\u0610-\u061a\u064b-\u065f\u0670\u06d6-\u06ed\u0640"  # vowel marks and the stroke that draws words out
DROPPED += r"\u200b-\u200f\u202a-\u202e\u2066-\u2069\ufeff\ufe0f"  # what is not seen
SPELLINGS = [
    (rf"\A[{DROPPED}]+", " "),  # a space, for the first word gets its `▁` only where a text keeps its beginning
    (rf"[{DROPPED}]", ""),
    ("[أإآٱ]", "ا"),
    (r"(?<=([\u0621-\u0646\u0648-\u064a]))\1{2,}", ""),  # drawn out, but for laughter: هههه
    ("ى", "ي"),
    ("ة", "ه"),
    ("گ", "ك"),
    *DIGITS,
    (r"(?<=(\p{L})\1)\1", ""),  # elsewhere three letters or more become two: cool, 好好
    (r"\s+", " "),
]
MIN_SCORE = -30.0
WHOLE_WORDS = """
café latte pizza burger sushi hummus falafel كبسة كشري شاورما فلافل كنافة برياني قهوة شاي مطعم لذيذ وحش حلو زبالة
麻辣烫 火锅 奶茶 外卖 好吃 难吃 难看 好看 滷肉飯 珍奶 火鍋 難吃 難看 便當 CP值
"""  # where the teacher has them


def even_spelling() -> normalizers.Normalizer:
    """What the tokenizer does to a text before it cuts it.

    >>> even_spelling().normalize_str("الأكلُ جميلةٌ جداااا ٥ Café")
    'الاكل جميله جدا 5 café'
    """
    steps = [normalizers.Replace(Regex(pattern), with_) for pattern, with_ in SPELLINGS]
    return normalizers.Sequence([normalizers.NFKC(), normalizers.Lowercase(), *steps, normalizers.Strip(left=False)])


@dataclass(frozen=True)
class Vocabulary:
    """Pieces with scores, and for each the piece of the teacher whose vector it starts with (and is seen as)."""

    pieces: list[str]
    scores: list[float]
    origins: list[int]


def common_characters() -> set[str]:
    """Letters and marks of the three scripts, and the Han characters in common use."""
    found = set(
        "abcdefghijklmnopqrstuvwxyz0123456789àáâäãåæçèéêëìíîïñòóôöõøœùúûüß" + ".,:;!?'\"()[]-–—…/&%$€£@#*+=<>_~^°|\\{}`"
    )
    found |= set("،؛؟«»“”‘’。，、；：？！（）《》·「」『』～") | {
        chr(c) for c in (*range(0x621, 0x63B), *range(0x641, 0x64B))
    }
    simplified = "".join(  # the first level of GB 2312
        bytes((row, column)).decode("gb2312", "ignore") for row in range(0xB0, 0xD8) for column in range(0xA1, 0xFF)
    )
    return found | {*simplified} | {traditional(character) for character in simplified}


def is_emoji(piece: str) -> bool:
    return len(piece) == 1 and ord(piece) >= 0x2600 and unicodedata.category(piece) == "So"


def of_three_scripts(piece: str) -> bool:
    """Whether a piece has no letters but Latin, Arabic and Han ones."""
    for character in piece:
        if unicodedata.category(character)[0] == "L":
            name = unicodedata.name(character, "")
            if not name.startswith(("LATIN", "ARABIC", "CJK")) and character != SPACE:
                return False
    return True


def merged(teacher: Teacher, counts: Counter) -> Vocabulary:
    """The teacher's pieces of the three scripts in even spelling; of those that become the same, the commonest."""
    spell, best = even_spelling(), {}
    for index, (piece, score) in enumerate(zip(teacher.pieces, teacher.scores, strict=True)):
        if index <= UNKNOWN or index == teacher.mask or not of_three_scripts(piece):
            continue
        begins, body = piece.startswith(SPACE), piece.removeprefix(SPACE)
        even = SPACE * begins + spell.normalize_str(body).replace(" ", "")
        if even and (even != SPACE or body == ""):
            rank = (counts[index], even == piece, score)
            if even not in best or rank > best[even][0]:
                best[even] = (rank, index, max(score, best.get(even, (0, 0, MIN_SCORE))[2]))
    return Vocabulary(list(best), [score for _, _, score in best.values()], [index for _, index, _ in best.values()])


def unigram(pieces: list[str], scores: list[float], **options) -> Tokenizer:
    """A tokenizer of pieces, without template: `▁` marks where a word begins, letters it does not know are bytes."""
    tokenizer = Tokenizer(Unigram(list(zip(pieces, scores, strict=True)), **options))
    tokenizer.normalizer = even_spelling()
    tokenizer.pre_tokenizer = pre_tokenizers.Metaspace(SPACE, prepend_scheme="first")  # not after a [MASK]
    tokenizer.decoder = decoders.Sequence([decoders.ByteFallback(), decoders.Metaspace(SPACE)])
    return tokenizer


def counted(tokenizer: Tokenizer, texts: dict[str, list[str]], weights: dict[str, float]) -> Counter:
    """How often each id occurs in the texts, each language with its weight, whatever its size."""
    counts: Counter = Counter()
    for lang, lines in texts.items():
        here: Counter = Counter()
        for start in range(0, len(lines), 10_000):
            for encoding in tokenizer.encode_batch(lines[start : start + 10_000], add_special_tokens=False):
                here.update(encoding.ids)
        total = sum(here.values())
        for index, number in here.items():
            counts[index] += number * weights[lang] / total
    return counts


def cut(teacher: Teacher, texts: dict[str, list[str]], weights: dict[str, float], size: int = SIZE) -> Vocabulary:
    """The vocabulary of `size` tokens that covers most of the texts, with every common letter in it."""
    plain = Tokenizer(Unigram(list(zip(teacher.pieces, teacher.scores, strict=True)), unk_id=UNKNOWN))
    plain.normalizer = normalizers.Sequence(
        [normalizers.NFKC(), normalizers.Replace(Regex(r"\s+"), " "), normalizers.Strip()]
    )
    plain.pre_tokenizer = pre_tokenizers.Metaspace(SPACE)
    whole = merged(teacher, counted(plain, texts, weights))
    tokenizer = unigram(["[UNK]", *whole.pieces], [MIN_SCORE, *whole.scores], unk_id=0)
    counts = counted(tokenizer, texts, weights)
    spell = even_spelling()
    letters = common_characters() | {spell.normalize_str(word) for word in WHOLE_WORDS.split()}
    must = [i for i, piece in enumerate(whole.pieces) if piece.removeprefix(SPACE) in letters | {""} or is_emoji(piece)]
    room = size - len(SPECIAL) - len(BYTES) - len(must)
    chosen = {*must}
    for index, _ in counts.most_common():
        if room and index and index - 1 not in chosen:
            chosen.add(index - 1)
            room -= 1
    order = sorted(chosen, key=lambda i: (-counts[i + 1], whole.pieces[i]))
    special = [PAD, UNKNOWN, START, END, teacher.mask]
    return Vocabulary(
        [*SPECIAL, *BYTES, *(whole.pieces[i] for i in order)],
        [*[0.0] * len(SPECIAL), *[MIN_SCORE] * len(BYTES), *(whole.scores[i] for i in order)],
        [*special, *[UNKNOWN] * len(BYTES), *(whole.origins[i] for i in order)],
    )


def build_tokenizer(vocabulary: Vocabulary) -> PreTrainedTokenizerFast:
    """The tokenizer as it ships: `[CLS] a [SEP] b [SEP]`, with token types, and no text that is unknown to it."""
    tokenizer = unigram(vocabulary.pieces, vocabulary.scores, unk_id=SPECIAL.index("[UNK]"), byte_fallback=True)
    tokenizer.add_special_tokens([AddedToken(name, lstrip=name == "[MASK]", special=True) for name in SPECIAL])
    tokenizer.post_processor = processors.TemplateProcessing(
        single="[CLS]:0 $A:0 [SEP]:0",
        pair="[CLS]:0 $A:0 [SEP]:0 $B:1 [SEP]:1",
        special_tokens=[(token, SPECIAL.index(token)) for token in ("[CLS]", "[SEP]")],
    )
    return PreTrainedTokenizerFast(
        tokenizer_object=tokenizer,
        model_max_length=MAX_LENGTH,
        pad_token="[PAD]",
        unk_token="[UNK]",
        cls_token="[CLS]",
        sep_token="[SEP]",
        mask_token=AddedToken("[MASK]", lstrip=True, special=True),  # a space before it belongs to it
        model_input_names=["input_ids", "token_type_ids", "attention_mask"],
        clean_up_tokenization_spaces=False,
    )


def starting_vectors(teacher: Teacher, vocabulary: Vocabulary) -> torch.Tensor:
    """Word vectors to start from: the teacher's, row by row."""
    return teacher.model.embeddings.word_embeddings.weight.detach()[torch.tensor(vocabulary.origins)].clone()
