"""The rules by which reviews are put together."""

import random

import pytest

from kit.bank import LANGS, OPENING, read_bank
from kit.generate import Writer, clauses_of, held_out, render


@pytest.fixture(scope="module")
def bank():
    return read_bank()


def test_one_fifth_of_the_clauses_is_held_out(bank):
    clauses = [c for c in bank if c.aspect != OPENING]
    assert len(held_out(bank)) * 5 == len(clauses)


@pytest.mark.parametrize("verdict", [1, 2, 3, 4, 5])
def test_clauses_scatter_around_the_verdict(bank, verdict):
    rng, writer = random.Random(0), Writer(bank, "restaurant")
    drawn = [writer.review(rng, verdict) for _ in range(300)]
    assert all(round(review.verdict) == verdict for review in drawn)
    last = sum(review.clauses[-1].stars == verdict for review in drawn) / len(drawn)
    assert 0.3 < last < 0.95  # the last clause alone does not give the label away


def test_writers_draw_held_out_clauses_only_when_told(bank):
    rng, hidden = random.Random(0), held_out(bank)
    seen = [Writer(bank, "film").review(rng, 3) for _ in range(300)]
    unseen = [Writer(bank, "film", unseen=1.0).review(rng, 3) for _ in range(300)]
    assert seen and not any(c.id in hidden for c in clauses_of(seen))
    assert all(c.id in hidden for c in clauses_of(unseen) if c.aspect != OPENING)


@pytest.mark.parametrize("lang", LANGS)
def test_rendered_reviews_hold_all_their_clauses(bank, lang):
    rng, writer = random.Random(0), Writer(bank, "film")
    for verdict in range(1, 6):
        review = writer.review(rng, verdict)
        text = render(review, lang).lower()
        assert all(c.text(lang).lower() in text for c in review.clauses)
        assert text[-1] in ".!。！"
