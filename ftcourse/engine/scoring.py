"""A test: how a saved model does on a table with the right answers, told in the same words as a training's report."""

import os
import re
from collections.abc import Callable, Sequence
from html import escape
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
from datasets import ClassLabel, List, Value

from ftcourse.engine.calls import check_texts, trained_on
from ftcourse.engine.cleaning import (
    NUMBER,
    ONE_LABEL,
    SEVERAL,
    Prepared,
    check_kept,
    describe_dropped,
    read_rows,
    row_keys,
    sort_rows,
)
from ftcourse.engine.folders import name_of, written_whole
from ftcourse.engine.labels import first, join_labels, label_key, listed, note, number_values, shown
from ftcourse.engine.launch import MARK
from ftcourse.engine.messages import catalogue, in_words, trouble
from ftcourse.engine.problems import Way, in_names, measure_labels, way_for
from ftcourse.engine.reading import cut_texts, tokens_read
from ftcourse.engine.report import Report, label_counts, load_report, versions
from ftcourse.engine.several import find_cell_separator, label_sets
from ftcourse.engine.views import table_html


class ScoreReport(Report):
    """The report of a test: that of a training, without what belongs to a training."""

    def say(self, key: str, /, **values) -> str:
        """A message; where tests have one of their own, that."""
        own = f"test.{key}" if f"test.{key}" in catalogue(self.lang, "finetune") else key
        return super().say(own, **values)

    def rows_text(self) -> str:
        return self.say("rows", read=self.read, kept=self.size("valid"))

    def balance_text(self) -> str:
        return ""

    def kept_texts(self) -> list[str]:
        """What the only baseline is."""
        return [self.say(f"baseline.{self.setting['baseline']}", answer=self.setting["answer"])]

    def sources_texts(self, mark: str = "") -> list[str]:
        columns = ", ".join(f"{mark}{name}{mark}" for name in self.source["columns"])
        return [self.say("source", **(self.source | {"columns": columns, "model": self.setting["model"]}))]

    def verdict_text(self) -> str:
        values = self.closer or {"tuned": self.right["tuned"], "best": self.right["majority"]}
        return self.say(self.verdict, total=self.size("valid"), **values)

    def labels_html(self) -> str:
        header, rows = [self.say("label"), self.say("in_valid")], [(one["label"], one["valid"]) for one in self.labels]
        return table_html(header, rows) + "".join(f"<p>{escape(text)}</p>" for text in self.notes_texts())

    def body_html(self) -> str:
        """The report without the page around it."""
        sections = {
            "scores": self.scores_html(),
            "data": self.data_html(),
            "labels": self.labels_html(),
            "confusion": self.confusion_html(),
            "mistakes": self.mistakes_html(),
        }
        sections["scores"] += "".join(f"<p>{escape(text)}</p>" for text in self.kept_texts())
        verdict = f'<p class="verdict {self.verdict}"><b>{escape(self.verdict_text())}</b></p>'
        return verdict + "".join(f"<h2>{escape(self.say(key))}</h2>{html}" for key, html in sections.items())

    def card(self) -> str:
        """The report in Markdown."""
        return f"# {self.say('title')}\n\n" + "\n".join(f"- {line.strip()}" for line in repr(self).splitlines()) + "\n"


def label_places(config) -> dict[str, int]:
    """The number of each label of a model, by what is the same however it is written.

    >>> from transformers import PretrainedConfig
    >>> label_places(PretrainedConfig(id2label={0: "1", 1: "good"})), label_places(PretrainedConfig(num_labels=2))
    ({'1': 0, 'good': 1}, {'LABEL_0': 0, 'LABEL_1': 1, '0': 0, '1': 1})
    """
    names = [config.id2label[number] for number in range(config.num_labels)]
    places = {label_key(name): number for number, name in enumerate(names)}
    unnamed = all(name == f"LABEL_{number}" for number, name in enumerate(names))
    return places | ({str(number): number for number in range(len(names))} if unnamed else {})


def scorable_rows(table: object, columns: Sequence, lang: str, config, cache_dir: str) -> Prepared:
    """A table, read and cleaned like one to train with, and its labels as the model with this `config` numbers them.

    Rows whose label the model does not know are left out. `ValueError` where it knows none of them.

    >>> import pandas as pd
    >>> from transformers import PretrainedConfig
    >>> frame = pd.DataFrame({"text": [*"abc"], "label": ["good", "bad", "so"]})
    >>> config = PretrainedConfig(id2label={0: "bad", 1: "good"})
    >>> found = scorable_rows(frame, ["text", "label"], "en", config, "")
    >>> found.valid["label"][:], found.dropped["unknown_label"]["count"]
    ([1, 0], 1)
    """
    rows, source = read_rows(table, columns, lang, cache_dir)
    keys, numbers, names = row_keys(rows)
    counts, problem = np.bincount(numbers[numbers >= 0], minlength=len(names)), config.problem_type or ONE_LABEL
    known, marks, labels = label_places(config), None, [config.id2label[number] for number in range(config.num_labels)]
    if problem == NUMBER:
        values, notes = number_values(names, counts, source)
        distinct, places = np.unique(values, return_inverse=True)
        places, marks = np.where(np.isnan(values), -1, places), np.zeros((len(distinct), 0), dtype=bool)
        strange, learned, feature = np.zeros(len(distinct), dtype=bool), distinct.astype(np.float32), Value("float32")
        labels, unknown = source["columns"][-1:], {}
    else:
        if problem == SEVERAL:
            places, marks, found, notes = label_sets(names, counts, find_cell_separator(names))
        else:
            places, found, notes = join_labels(names, counts, known)
        mine = np.array([known.get(label_key(name), -1) for name in found], dtype=np.int64)
        often = np.bincount(places[places >= 0], counts[places >= 0], minlength=len(found if marks is None else marks))
        if marks is None:
            strange, learned, feature = mine < 0, mine, ClassLabel(names=labels)
        else:
            strange, often = marks[:, mine < 0].any(axis=1), often @ marks
            learned, feature = np.zeros((len(marks), len(labels)), dtype=np.float32), List(Value("float32"))
            for place, number in enumerate(mine):
                learned[:, number] = np.maximum(learned[:, number], marks[:, place] * (number >= 0))
            if silent := untold(columns[-1], known, labels):
                told = [number for number, label in enumerate(labels) if label not in silent]
                learned, labels = learned[:, told], [labels[number] for number in told]
                notes.append(note("untold", labels=first(map(shown, silent))))
        unknown = {name: int(count) for name, count, number in zip(found, often, mine, strict=True) if number < 0}
    numbers = np.append(places, -1)[numbers]
    left = (keys != 0) & (numbers >= 0) & np.append(strange, False)[numbers]
    pool = np.flatnonzero(~left)
    piles = {why: pool[group] for why, group in sort_rows(keys[pool], numbers[pool], marks, 0).items()}
    if not len(piles["kept"]) and left.any():
        values = {"found": first(map(shown, unknown)), "known": first(map(shown, labels))}
        raise trouble("no_known_label", name=source["name"], label=source["columns"][-1], **values)
    if not len(piles["kept"]):
        check_kept(piles, [], source)
    notes += [note("unknown", labels=listed(unknown))] if unknown else []
    used = rows.select(piles["kept"]).remove_columns("label")
    answers = learned[numbers[piles["kept"]]]
    used = used.add_column("label", answers if answers.ndim == 1 else [*answers], feature=feature)
    dropped = describe_dropped(rows, piles | {"unknown_label": np.flatnonzero(left)})
    return Prepared(used, used, labels, source, len(rows), dropped, notes, problem)


def untold(columns: object, known: dict[str, int], labels: Sequence[str]) -> list[str]:
    """The labels of a model that a table, which has a column for each label, says nothing about; it tells two or more.

    >>> untold(["food", "service"], {"food": 0, "price": 1, "service": 2}, ["food", "price", "service"])
    ['price']
    """
    if isinstance(columns, str):
        return []
    told = {known.get(label_key(column)) for column in columns} - {None}
    return [label for number, label in enumerate(labels) if number not in told] if len(told) > 1 else []


def usual_answers(prepared: Prepared, learned: Report | None) -> tuple[np.ndarray, str, str]:
    """The cheapest answer for all rows, in words, too, and where it comes from: the training, if its report tells, or
    else this table.

    >>> from datasets import Dataset
    >>> rows = Dataset.from_dict({"text": ["a", "b", "c"], "label": [1, 1, 0]})
    >>> usual_answers(Prepared(rows, rows, ["bad", "good"], {}, 3, {}), None)
    (array([1, 1, 1]), 'good', 'table')
    """
    truth, names = np.array(prepared.valid["label"][:]), prepared.names
    counts = {} if learned is None else {entry["label"]: entry["train"] for entry in learned.labels}
    if prepared.problem == NUMBER:
        with_numbers = (
            learned is not None and learned.problem == NUMBER and not any("\u2026" in name for name in counts)
        )
        seen = np.repeat([float(name) for name in counts], [*counts.values()]) if with_numbers else truth
        middle = float(np.median(seen))
        return np.full(len(truth), middle), f"{middle:g}", "training" if with_numbers else "table"
    known = learned is not None and learned.problem == prepared.problem and {*counts} >= {*names}
    if prepared.problem == SEVERAL:
        shares = np.array([counts[name] for name in names]) / learned.size("train") if known else truth.mean(axis=0)
        often = shares > 0.5
        return np.tile(often, (len(truth), 1)), in_names(often, names), "training" if known else "table"
    often = [counts[name] for name in names] if known else np.bincount(truth, minlength=len(names))
    best = int(np.argmax(often))
    return np.full(len(truth), best), names[best], "training" if known else "table"


def score_model(
    predictor, model: object, table: object, columns: Sequence, lang: str, own: Way, judge: Callable
) -> ScoreReport:
    """How a predictor, loaded from `model`, does on a table; `own` and `judge` are the chapter's, for one label a text.

    >>> from datasets import Dataset
    >>> from ftcourse.finetune import accuracy_f1, baseline_answers, judge, measure
    >>> from ftcourse.inference import Predictor
    >>> from ftcourse.kit import Kit
    >>> model, own = Kit("en").model("stars"), Way(accuracy_f1, baseline_answers, measure)
    >>> table = Dataset.from_dict({"text": ["Tasty!", "Awful."], "label": ["5 stars", "1 star"]})
    >>> score_model(Predictor(model), model, table, ["text", "label"], "en", own, judge).read
    2
    """
    check_texts(model, columns[:-1])
    with TemporaryDirectory(ignore_cleanup_errors=True) as work:  # Windows keeps files that are open
        prepared = scorable_rows(table, columns, lang, predictor.model.config, work)
        prepared.notes.extend([note("trained_on")] if trained_on(model, table) else [])
        return scored_report(predictor, model, prepared, lang, own, judge)


def scored_report(predictor, model: object, prepared: Prepared, lang: str, own: Way, judge: Callable) -> ScoreReport:
    """The answers of a predictor for rows that are ready, beside the cheapest ones."""
    try:
        learned = load_report(model) if isinstance(model, str | Path) else None
    except (OSError, ValueError, TypeError):
        learned = None
    answers, answer, origin = usual_answers(prepared, learned)
    config, asked = predictor.model.config, slice(None)
    if prepared.problem == SEVERAL:
        every = [config.id2label[number] for number in range(config.num_labels)]
        asked = [every.index(name) for name in prepared.names]
    texts = [prepared.valid[name][:] for name in prepared.columns]
    probabilities = predictor.predict(*texts).probabilities[:, asked]
    way = way_for(prepared, own, None, judge)
    if prepared.problem == SEVERAL:
        found = measure_labels(prepared, probabilities, {"majority": answers}, way.metrics, judge, predictor.threshold)
    else:
        found = way.measure(prepared, probabilities, {"majority": answers}, way.metrics)
    name = name_of(model) if isinstance(model, str | Path) and Path(model).is_dir() else model
    name = name if isinstance(name, str) else type(model).__name__
    setting = {"model": name, "baseline": origin, "answer": answer, "threshold": predictor.threshold}
    counts = [entry | {"train": 0} for entry in label_counts(prepared)]
    story = {"source": prepared.source, "read": prepared.read, "dropped": prepared.dropped, "notes": prepared.notes}
    if predictor.max_length:
        part = tokens_read(prepared.valid, prepared.columns, predictor)
        story |= {"cut": cut_texts(prepared, [part], predictor, probabilities, asked)}
    story |= {"problem": prepared.problem, "sizes": {"valid": len(prepared.valid)}, "setting": setting}
    return ScoreReport(lang=lang, labels=counts, **story, **found, history={}, seconds={}, versions=versions())


REPORTS = (".html", ".json", ".md")
MODELS_OWN = re.compile(
    r"report\.(html|json)|README\.md|(.*config|.*index|\.ftcourse|tokenizer|vocab|.*tokens.*)\.json"
)


def check_place(out: Path, force: bool = False) -> None:
    """Make sure that a report may be written to a file or a folder; a `FileExistsError` names what is there.

    What belongs to a model is never replaced. `ValueError` for another kind of file, `OSError` for no way to write.

    >>> check_place(Path("nowhere.html"))
    """
    alone = is_one_file(out)
    if not alone and (out.is_file() or (out.suffix[1:2].isalpha() and not out.is_dir())):
        raise trouble("report_suffix", name=str(out), known=", ".join(REPORTS))
    folder = out.parent if alone else out
    own = (out.is_file() and MODELS_OWN.fullmatch(out.name)) if alone else out.is_dir()
    if own and any((folder / name).is_file() for name in (MARK, "config.json")):
        raise trouble("report_of_model", name=str(out))
    if not force and (out.is_file() or (out.is_dir() and any(out.iterdir()))):
        raise trouble("report_there", FileExistsError, name=str(out))
    there = next(place for place in (folder, *folder.parents) if place.exists())
    if not there.is_dir() or not os.access(there, os.W_OK):
        why = in_words("reason_permission" if there.is_dir() else "reason_no_folder")
        raise trouble("not_writable", OSError, folder=str(there), reason=why)


def is_one_file(out: Path) -> bool:
    """Whether a report goes to one file of this name, rather than to a folder.

    >>> is_one_file(Path("test.html")), is_one_file(Path("test"))
    (True, False)
    """
    return out.suffix.lower() in REPORTS and not out.is_dir()


def write_report(report: Report, out: Path) -> Path:
    """Write a report to a file, as its suffix says, or a page and its numbers to a folder; where the page or file is.

    >>> from tempfile import TemporaryDirectory
    >>> from types import SimpleNamespace
    >>> report = SimpleNamespace(files=lambda: {"README.md": "#", "report.html": "<p>", "report.json": "{}"})
    >>> with TemporaryDirectory() as folder:
    ...     write_report(report, Path(folder, "test.md")).read_text()
    '#'
    """
    files = {Path(name).suffix: text for name, text in report.files().items()}
    if is_one_file(out):
        places = {out: files[out.suffix.lower()]}
    else:
        places = {out / f"report{suffix}": files[suffix] for suffix in (".html", ".json")}
    for place, text in places.items():
        place.parent.mkdir(parents=True, exist_ok=True)
        with written_whole(place) as part:
            part.write_text(text, encoding="utf-8")
    return next(iter(places))
