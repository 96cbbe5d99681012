"""From the bank to reviews, the same in every language.

A `Review` is a plan: clauses in an order, and how they are joined. `render` writes a plan out in a language, so that
a row means the same in all of them. One meaning in five of every aspect and star level is held out: training splits
never draw it, validation and test draw three of four clauses from it.
"""

import random
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass

from kit.bank import NUM_MEANINGS, OPENING, Clause

HELD_OUT_SHARE = 0.75  # of the clauses in validation and test: in real life, few sentences are ever written twice

NUM_CLAUSES = {2: 40, 3: 40, 4: 20}
OFFSETS = {-1: 20, 0: 60, 1: 20}  # of a clause's stars from the verdict, in per cent
OPENING_SHARE = 0.2
CHEER_SHARE = 0.2  # of one- and five-star reviews that end in an exclamation mark

CHINESE = {
    "plain": ("。", "，"),
    "same": ("，", "，而且", "。"),
    "contrast": ("，但", "，不过", "。不过", "，可是"),
}
STOP = {"en": ". ", "ar": ". ", "zh": "。", "zh-Hant": "。"}
MARK = {"en": "!", "ar": "!", "zh": "！", "zh-Hant": "！"}
JOINS = {
    "en": {
        "plain": (". ",),
        "same": (", and ", ". ", ". "),
        "contrast": (", but ", ". Still, ", ", though ", ". But "),
    },
    "ar": {
        "plain": (". ",),
        "same": ("، و", ". ", ". "),
        "contrast": ("، لكن ", ". ومع ذلك ", ". لكن "),
    },
    "zh": CHINESE,
    "zh-Hant": {kind: tuple(joint.replace("过", "過") for joint in joints) for kind, joints in CHINESE.items()},
}
COMMAS = {"en": (",", " but ", " and "), "ar": ("،", " لكن "), "zh": ("，", "但"), "zh-Hant": ("，", "但")}


@dataclass(frozen=True)
class Review:
    """Clauses in order, the choice of joint before each but the first, and whether the end is exclaimed."""

    clauses: tuple[Clause, ...]
    joints: tuple[int, ...]
    exclaimed: bool = False

    @property
    def verdict(self) -> float:
        """Mean stars of the clauses that judge."""
        stars = [c.stars for c in self.clauses if c.aspect != OPENING]
        return sum(stars) / len(stars)


def held_out(bank: list[Clause], seed: int = 0) -> set[int]:
    """Ids of the clauses that no training split may draw: one meaning of each aspect and star level."""
    rng = random.Random(seed)
    chosen = {
        key: rng.randint(1, NUM_MEANINGS)
        for key in sorted({(c.domain, c.aspect, c.stars) for c in bank if c.aspect != OPENING})
    }
    return {c.id for c in bank if chosen.get((c.domain, c.aspect, c.stars)) == c.meaning}


class Writer:
    """Draws reviews of one domain.

    `unseen` is the share of clauses drawn from the held-out ones: 0 for training splits.
    """

    def __init__(self, bank: list[Clause], domain: str, unseen: float = 0.0):
        hidden = held_out(bank)
        self.unseen = unseen
        self.openings = [c for c in bank if c.domain == domain and c.aspect == OPENING]
        self.seen, self.hidden = defaultdict(list), defaultdict(list)
        for clause in bank:
            if clause.domain == domain and clause.aspect != OPENING:
                (self.hidden if clause.id in hidden else self.seen)[clause.aspect, clause.stars].append(clause)
        self.aspects = sorted({aspect for aspect, _ in self.seen})

    def clause(self, rng: random.Random, aspect: str, stars: int) -> Clause:
        pool = self.hidden if rng.random() < self.unseen else self.seen
        return rng.choice(pool[aspect, stars])

    def review(self, rng: random.Random, verdict: int) -> Review:
        """A review whose clauses scatter around `verdict` (1 to 5) and average to it when rounded."""
        number = draw(rng, NUM_CLAUSES)
        while True:
            stars = [min(5, max(1, verdict + draw(rng, OFFSETS))) for _ in range(number)]
            if abs(sum(stars) / number - verdict) < 0.5:
                break
        aspects = rng.sample(self.aspects, number)
        clauses = [self.clause(rng, *key) for key in zip(aspects, stars, strict=True)]
        if rng.random() < OPENING_SHARE:
            clauses.insert(0, rng.choice(self.openings))
        joints = tuple(rng.randrange(60) for _ in clauses[1:])
        return Review(tuple(clauses), joints, verdict in (1, 5) and rng.random() < CHEER_SHARE)


def draw(rng: random.Random, weights: dict[int, int]) -> int:
    return rng.choices(list(weights), list(weights.values()))[0]


def relation(left: Clause, right: Clause) -> str:
    """How two clauses stand to each other: of the same mind, in contrast, or neither."""
    if OPENING in (left.aspect, right.aspect):
        return "stop"
    product = (left.stars - 3) * (right.stars - 3)
    return "same" if product > 0 else "contrast" if product < 0 else "plain"


def capitalized(text: str, lang: str) -> str:
    return text[0].upper() + text[1:] if lang == "en" else text


def render(review: Review, lang: str) -> str:
    """The review as text. Two clauses share a sentence only when neither has a comma of its own."""
    first, *rest = review.clauses
    text, joined = capitalized(first.text(lang), lang), False
    for left, right, choice in zip(review.clauses, rest, review.joints, strict=False):
        joint = STOP[lang]
        if (kind := relation(left, right)) != "stop":
            options = JOINS[lang][kind]
            joint = options[choice % len(options)]
        crowded = joined or any(mark in c.text(lang) for c in (left, right) for mark in COMMAS[lang])
        stopped = joint[0] in ".。"
        if crowded and not stopped:
            joint, stopped = STOP[lang], True
        clause = right.text(lang)
        text += joint + (capitalized(clause, lang) if joint == STOP[lang] else clause)
        joined = not stopped
    return text + (MARK[lang] if review.exclaimed else STOP[lang].strip())


def reviews(
    bank: list[Clause], domain: str, verdicts: tuple[int, ...], size: int, seed: str, unseen: float, taken: set
) -> list[Review]:
    """`size` different plans with the verdicts in equal parts, shuffled. `taken` holds what other splits used up."""
    rng, writer, plans = random.Random(seed), Writer(bank, domain, unseen), []
    for i in range(size):
        verdict = verdicts[i % len(verdicts)]
        plans.append(fresh(lambda v=verdict: writer.review(rng, v), taken))
    rng.shuffle(plans)
    return plans


def key_of(plan: Review) -> tuple:
    return tuple(c.id for c in plan.clauses if c.aspect != OPENING)


def fresh(make, taken: set):
    """A plan that `make` draws and that was not drawn before."""
    while (key := key_of(plan := make())) in taken:
        pass
    taken.add(key)
    return plan


def clauses_of(plans: list[Review]) -> Iterator[Clause]:
    """Every clause in the plans."""
    for plan in plans:
        yield from plan.clauses
