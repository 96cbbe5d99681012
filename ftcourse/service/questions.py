"""What is asked of a model in a request: read, checked, or refused in the reader's language."""

import json
import reprlib
from dataclasses import dataclass
from numbers import Real
from urllib.parse import parse_qs

from ftcourse.engine.messages import message

FIELDS = ("texts", "pairs", "threshold")


@dataclass(frozen=True)
class Limits:
    """How much may be asked: bytes of a request, texts in it, characters of a text, texts that wait, and seconds."""

    bytes: int = 1_000_000
    texts: int = 256
    letters: int = 20_000
    waiting: int = 2048
    seconds: float = 30  # until a request is there


class Refused(Exception):
    """A request that is not answered: the HTTP status, and the message with its values.

    >>> print(Refused(413, "too_many", given=300, most=256).words("en"))
    300 texts are too many at once; send up to 256, and the rest in another request
    """

    def __init__(self, status: int, key: str, **values):
        super().__init__(key)
        self.status, self.key, self.values = status, key, values

    def words(self, lang: str) -> str:
        """What was given, what was expected and what to do, in a language."""
        return message(lang, "serve", f"error.{self.key}", **self.values)


@dataclass(frozen=True)
class Question:
    """Texts to answer, each with its second one where they are pairs, and the probability that a label needs.

    >>> question_of(b'{"texts": ["Good."]}', Limits())
    Question(texts=['Good.'], pairs=None, threshold=None)
    """

    texts: list[str]
    pairs: list[str] | None = None
    threshold: float | None = None


def shown(value: object) -> str:
    """A value as a message shows it: short, and with nothing in it that cannot be sent.

    >>> shown("ab" * 50)
    "'abababababa...babababababab'"
    """
    return reprlib.repr(value)


def checked_texts(texts: object, name: str, limits: Limits) -> list[str]:
    """The texts of a request; or else it is refused, with the place of the one that cannot be answered."""
    if not isinstance(texts, list):
        raise Refused(422, "texts", name=name, given=shown(texts))
    if not texts:
        raise Refused(422, "no_texts", name=name)
    if len(texts) > limits.texts:
        raise Refused(413, "too_many", given=len(texts), most=limits.texts)
    for place, text in enumerate(texts):
        place = f"{name}[{place}]"
        if not isinstance(text, str):
            raise Refused(422, "text", place=place, given=shown(text))
        if len(text) > limits.letters:
            raise Refused(413, "long_text", place=place, given=len(text), most=limits.letters)
        if not text.strip():
            raise Refused(422, "blank", place=place)
        if any("\ud800" <= letter <= "\udfff" for letter in text):
            raise Refused(422, "half", place=place)
    return texts


def question_of(body: bytes, limits: Limits) -> Question:
    """The question in the body of a request, which is JSON; or else it is refused."""
    try:
        asked = json.loads(body)
    except (ValueError, RecursionError):
        raise Refused(422, "no_json") from None
    if not isinstance(asked, dict) or "texts" not in asked:
        raise Refused(422, "no_question", given=shown(asked))
    if other := [name for name in asked if name not in FIELDS]:
        raise Refused(422, "field", given=shown(other[0]), known=", ".join(FIELDS))
    return checked(asked["texts"], asked.get("pairs"), asked.get("threshold"), limits)


def checked(texts: object, pairs: object, threshold: object, limits: Limits) -> Question:
    """The question, where all in it is as it should be; or else it is refused.

    >>> checked(["Good."], None, 0.5, Limits()).threshold
    0.5
    """
    texts = checked_texts(texts, "texts", limits)
    if pairs is not None:
        pairs = checked_texts(pairs, "pairs", limits)
        if len(pairs) != len(texts):
            raise Refused(422, "lengths", texts=len(texts), pairs=len(pairs))
    number = isinstance(threshold, Real) and not isinstance(threshold, bool)
    if threshold is not None and not (number and 0 < threshold < 1):
        raise Refused(422, "threshold", given=shown(threshold))
    return Question(texts, pairs, None if threshold is None else float(threshold))


def form_question(body: bytes, limits: Limits) -> Question:
    """The question that the form of the page sends; or else it is refused.

    >>> form_question("text=Good.&pair=".encode(), Limits()).texts
    ['Good.']
    """
    try:
        fields = parse_qs(body.decode("utf-8", "replace"), max_num_fields=10)
    except ValueError:
        raise Refused(422, "no_question", given=shown(body[:50])) from None
    text, pair = fields.get("text", [""])[0], fields.get("pair", [""])[0]
    return checked([text], [pair] if pair.strip() else None, None, limits)
