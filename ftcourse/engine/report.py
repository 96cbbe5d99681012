"""The report of a fine-tuning: as a page of its own, in a notebook, in a terminal, and as the model's card."""

import importlib.metadata
import json
import sys
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from html import escape
from pathlib import Path
from types import SimpleNamespace

import matplotlib.pyplot as plt
import numpy as np
from transformers.utils import is_in_notebook

from ftcourse.engine.best import best_round, is_over
from ftcourse.engine.cleaning import NUMBER, ONE_LABEL, SEVERAL, Prepared
from ftcourse.engine.columns import column_array
from ftcourse.engine.folders import name_of
from ftcourse.engine.launch import process_number
from ftcourse.engine.messages import catalogue, message
from ftcourse.engine.plots import plot_history, png
from ftcourse.engine.problems import digits, number_groups
from ftcourse.engine.views import Markup, bar, direction, shaded, table_html

STYLE = (
    "body{font-family:system-ui,sans-serif;max-width:60rem;margin:2rem auto;padding:0 1rem;line-height:1.5}"
    "table{border-collapse:collapse;margin:1em 0}th,td{border:1px solid #ccc;padding:.3em .6em;text-align:start}"
    "td.n{text-align:end}.bar{background:#0072b2;height:.8em}.verdict{padding:.6em 1em;border-inline-start:.4em solid}"
    ".beaten{border-color:#1a7f37}.close{border-color:#b35900}.not_beaten{border-color:#c00}img{max-width:100%}"
)


PIPELINE = (
    'from transformers import pipeline\n\nclassify = pipeline("text-classification", model=".", truncation=True{})'
)
USE = {ONE_LABEL: PIPELINE.format(""), SEVERAL: PIPELINE.format(", top_k=None"), NUMBER: PIPELINE.format("")}
USE_WINDOWS = 'from ftcourse.inference import Predictor\n\npredict = Predictor(".").predict'
MANY = 0.05  # of the texts: so many that it matters how they are read


def curve_png(history: dict) -> str:
    """The learning curve as a picture, in base64."""
    plot_history(SimpleNamespace(**history))
    return png(plt.gcf(), dpi=110)


def shortened(text: str, length: int = 300) -> str:
    """The start of a text, with an ellipsis where more of it follows.

    >>> shortened("abcdef", 3)
    'abc…'
    """
    return text if len(text) <= length else f"{text[:length]}…"


@dataclass
class Report:
    """What was read, how well the model does beside the baselines, and where it errs."""

    lang: str
    source: dict  # name, columns, encoding
    read: int
    dropped: dict[str, dict]  # by reason: count, and example, the number and content of the first such row
    labels: list[dict]  # label, train, valid
    scores: dict[str, dict[str, float]]  # by who answers
    right: dict[str, int]  # right answers, by who answers
    verdict: str
    history: dict
    confusion: list[list[int]]
    mistakes: list[dict]
    seconds: dict[str, float]
    setting: dict
    versions: dict[str, str] = field(default_factory=dict)
    cut: dict = field(default_factory=dict)  # rows longer than the model reads, and how they were read: `cut_texts`
    notes: list[dict] = field(default_factory=list)  # about the labels: key and values of each message
    problem: str = ONE_LABEL
    closer: dict[str, int] = field(default_factory=dict)  # rows that one of the two is closer to, where not one label
    sizes: dict[str, int] = field(default_factory=dict)  # rows in training and in validation
    apart: list[dict] = field(default_factory=list)  # what kept both sides apart: key and values of each message
    method: dict = field(default_factory=dict)  # what was trained, and what a cheaper way comes to

    def say(self, key: str, /, **values) -> str:
        """A message; where the problem has one of its own, that."""
        own = {SEVERAL: f"{key}.several", NUMBER: f"{key}.number"}.get(self.problem)
        return message(self.lang, "finetune", own if own in catalogue(self.lang, "finetune") else key, **values)

    @property
    def names(self) -> list[str]:
        return [entry["label"] for entry in self.labels]

    def as_dict(self) -> dict:
        return asdict(self)

    def files(self) -> dict[str, str]:
        """The model's card, the page and the numbers, by the names of their files."""
        numbers = json.dumps(self.as_dict(), ensure_ascii=False)
        return {"README.md": self.card(), "report.html": self.to_html(), "report.json": numbers}

    def verdict_text(self) -> str:
        """Whether the tuned model beats the better of the two baselines, in a sentence."""
        best = max(self.right["majority"], self.right["tfidf"])
        values = self.closer or {"tuned": self.right["tuned"], "best": best}
        return self.say(self.verdict, total=self.size("valid"), **values)

    def size(self, part: str) -> int:
        """How many rows are in a part, "train" or "valid"."""
        return self.sizes.get(part) or sum(entry[part] for entry in self.labels)

    def rows_text(self) -> str:
        train, valid, apart = self.size("train"), self.size("valid"), self.source.get("valid")
        if apart:
            values = {"name": self.source["name"], "valid_name": apart["name"], "valid_read": apart["read"]}
            return self.say("rows.apart", read=self.read, train=train, valid=valid, **values)
        return self.say("rows", read=self.read, kept=train + valid, train=train, valid=valid)

    def apart_texts(self) -> list[str]:
        """How rows that belong together were kept on one side, in sentences."""
        return [self.say(f"apart.{entry['key']}", **{**entry, "key": ""}) for entry in self.apart]

    def kept_texts(self) -> list[str]:
        """Which epoch's weights were kept, and whether the training stopped early, in sentences."""
        metrics, asked = self.history.get("metrics"), self.setting
        if not metrics:
            return []
        best, texts = best_round(metrics), []
        if is_over(metrics, asked.get("patience")) and len(metrics) < asked["epochs"]:
            texts.append(self.say("patience", epochs=len(metrics), patience=asked["patience"]))
        if asked.get("keep") == "best":
            values = {"epoch": best + 1, "epochs": len(metrics), "loss": f"{metrics[best]['loss']:.3f}"}
            texts.append(self.say("kept", **values))
        return texts

    def sources_texts(self, mark: str = "") -> list[str]:
        """Which tables were read: columns and encoding of each; a `mark` goes around the names of columns."""
        tables = [self.source, *filter(None, [self.source.get("valid")])]
        columns = [", ".join(f"{mark}{name}{mark}" for name in table["columns"]) for table in tables]
        return [
            self.say("source", **(table | {"columns": names})) for table, names in zip(tables, columns, strict=True)
        ]

    def balance_text(self) -> str:
        """A warning where one label has three times as many rows as another, and what can be done; or else nothing."""
        if self.problem == NUMBER:
            return ""
        ordered = sorted(self.labels, key=lambda entry: entry["train"])
        least, most = ordered[0], ordered[-1]
        times = most["train"] / max(least["train"], 1)
        values = {"largest": most["label"], "smallest": least["label"], "times": f"{times:.0f}"}
        advice = self.say("weighted" if self.setting.get("class_weights") else "weights_help")
        return f"{self.say('unbalanced', **values)} {advice}" if times >= 3 else ""

    def cut_text(self) -> str:
        """How many texts are longer than the model reads, how they were read, and what may help; or else nothing."""
        found = {**self.cut}
        if not found.get("rows"):
            return ""
        if "windows" in found:
            change = self.say("windows_change", **found) if "valid" in found else self.say("windows_untold")
            return f"{self.say('cut_windows', **found)} {change}"
        many = found["rows"] >= MANY * found.get("of", 0)
        more = many and (found.get("most") or 0) > found["length"]
        advice = [self.say("longer_help", **found)] * more + [self.say("windows_help")] * many
        return " ".join([self.say("cut", **found), *advice])

    def reach_text(self) -> str:
        """How much of a text the model reads, where all texts are shorter; else what happened to the others."""
        return self.cut_text() or (self.say("reach", **self.cut) if self.cut.get("length") else "")

    def notes_texts(self) -> list[str]:
        """What was done to the labels of the table, and what looks wrong about them, in sentences."""
        return [self.say(f"note.{entry['key']}", **{**entry, "key": ""}) for entry in self.notes]

    def dropped_rows(self) -> list[tuple]:
        return [
            (entry["count"], self.say(f"drop.{why}", least=entry["least"]), shortened(entry["example"], 120))
            for why, entry in self.dropped.items()
        ]

    def method_texts(self) -> list[str]:
        """What was trained where it was not all, or how good a head alone is; in sentences."""
        return method_texts(self)

    def all_scores(self) -> dict[str, dict[str, float]]:
        """The scores by who answers, those of a head alone before those of the tuned model."""
        head = {"head": self.method["scores"]} if "scores" in self.method else {}
        others = {who: scores for who, scores in self.scores.items() if who != "tuned"}
        return others | head | {"tuned": self.scores["tuned"]}

    def told(self, score: float) -> str:
        """A score or an error with as many digits as count."""
        return digits(score) if self.problem == NUMBER else f"{score:.3f}"

    def told_html(self, row: Sequence) -> list:
        """A row of a table, in which scores and errors have as many digits as count."""
        return [Markup(f'<td class="n">{self.told(cell)}</td>') if isinstance(cell, float) else cell for cell in row]

    def score_rows(self) -> list[tuple]:
        return [(self.say(who), *scores.values()) for who, scores in self.all_scores().items()]

    def scores_html(self) -> str:
        return table_html(self.score_header(), map(self.told_html, self.score_rows()))

    def score_header(self) -> list[str]:
        return [self.say("who"), *self.scores["tuned"]]

    def method_html(self) -> str:
        return "".join(f"<p>{escape(text)}</p>" for text in self.method_texts())

    def data_html(self) -> str:
        parts = [f"<p>{escape(text)}</p>" for text in (*self.sources_texts(), self.rows_text(), *self.apart_texts())]
        if self.dropped:
            parts.append(table_html([self.say("dropped"), self.say("why"), self.say("example")], self.dropped_rows()))
        else:
            parts.append(f"<p>{escape(self.say('none_dropped'))}</p>")
        return "".join(parts) + f"<p>{escape(self.reach_text())}</p>"

    def labels_html(self) -> str:
        total = self.size("train")
        header = [self.say(key) for key in ("label", "in_train", "in_valid", "share")]
        rows = [(entry["label"], entry["train"], entry["valid"], bar(entry["train"] / total)) for entry in self.labels]
        texts = [*self.notes_texts(), self.balance_text()]
        return table_html(header, rows) + "".join(f"<p>{escape(text)}</p>" for text in texts)

    def confusion_html(self) -> str:
        if self.problem == NUMBER:
            header = [self.say(key) for key in ("label", "in_valid", "mean_answer", "probability")]
            return f"<p>{escape(self.say('confusion_how'))}</p>" + table_html(
                header, map(self.told_html, self.confusion)
            )
        if self.problem == SEVERAL:
            header = [self.say(key) for key in ("label", "found", "missed", "wrongly")]
            rows = [(name, m[1][1], m[1][0], m[0][1]) for name, m in zip(self.names, self.confusion, strict=True)]
            return f"<p>{escape(self.say('confusion_how'))}</p>" + table_html(header, rows)
        rows = [
            (name, *(shaded(count, sum(counts)) for count in counts))
            for name, counts in zip(self.names, self.confusion, strict=True)
        ]
        return f"<p>{escape(self.say('confusion_how'))}</p>" + table_html(["", *self.names], rows)

    def name_of(self, label: int | str) -> str:
        return label if isinstance(label, str) else self.names[label]

    def mistakes_html(self) -> str:
        if not self.mistakes:
            return f"<p>{escape(self.say('no_mistakes'))}</p>"
        header = [self.say(key) for key in ("text", "label", "answer", "probability")]
        rows = [
            (shortened(m["text"]), *(self.name_of(m[key]) for key in ("label", "prediction")), m["probability"])
            for m in self.mistakes
        ]
        return f"<p>{escape(self.say('mistakes_how'))}</p>" + table_html(header, map(self.told_html, rows))

    def time_html(self) -> str:
        rows = [(self.say(f"seconds.{what}"), round(seconds, 1)) for what, seconds in self.seconds.items()]
        versions = ", ".join(f"{name} {version}" for name, version in self.versions.items())
        made = [self.say("model", **self.setting), f"{self.say('made_with')} {versions}"]
        return table_html([self.say("time"), ""], rows) + "".join(f"<p>{escape(line)}</p>" for line in made)

    def body_html(self) -> str:
        """The report without the page around it."""
        verdict = f'<p class="verdict {self.verdict}"><b>{escape(self.verdict_text())}</b></p>'
        curve = f'<img alt="" src="data:image/png;base64,{curve_png(self.history)}">'
        curve += "".join(f"<p>{escape(text)}</p>" for text in self.kept_texts())
        sections = {
            "scores": self.scores_html() + self.method_html(),
            "data": self.data_html(),
            "labels": self.labels_html(),
            "curve": curve,
            "confusion": self.confusion_html(),
            "mistakes": self.mistakes_html(),
            "time": self.time_html(),
        }
        return verdict + "".join(f"<h2>{escape(self.say(key))}</h2>{html}" for key, html in sections.items())

    def to_html(self) -> str:
        """A page of its own, which needs nothing else; from right to left in Arabic."""
        title, way = self.say("title"), direction(self.say("title"))
        return (
            f'<!DOCTYPE html><html lang="{self.lang}" dir="{way}">'
            f'<head><meta charset="utf-8"><title>{escape(title)}</title>'
            f"<style>{STYLE}</style></head><body><h1>{escape(title)}</h1>{self.body_html()}</body></html>\n"
        )

    def _repr_html_(self) -> str:
        return f'<div dir="{direction(self.say("title"))}">{self.body_html()}</div>'

    def __repr__(self) -> str:
        dropped = [f"  {count:>6}  {why}" for count, why, _ in self.dropped_rows()]
        names = list(self.scores["tuned"])
        scores = [
            f"  {self.say(who)}: " + ", ".join(f"{name} {self.told(values[name])}" for name in names if name in values)
            for who, values in self.all_scores().items()
        ]
        data = [self.rows_text(), *dropped, *self.apart_texts(), *self.notes_texts(), self.cut_text()]
        data += [self.balance_text(), *self.kept_texts()]
        lines = [self.verdict_text(), *data, self.say("scores"), *scores, *self.method_texts()]
        return "\n".join(line for line in lines if line)

    def card(self) -> str:
        """The model's card, in Markdown."""
        counts = [f"| {cell_text(e['label'])} | {e['train']} | {e['valid']} |" for e in self.labels]
        dropped = [f"- {count}: {why}" for count, why, _ in self.dropped_rows()] or [self.say("none_dropped")]
        scores = [f"| {cell_text(row[0])} | " + " | ".join(map(self.told, row[1:])) + " |" for row in self.score_rows()]
        header = self.score_header()
        parts = [
            f"---\nlanguage: {self.lang}\nlibrary_name: transformers\npipeline_tag: text-classification\n---",
            f"# {self.say('title')}",
            self.verdict_text(),
            f"## {self.say('data')}",
            *self.sources_texts("`"),
            self.rows_text(),
            *self.apart_texts(),
            "\n".join(dropped),
            self.reach_text(),
            f"## {self.say('labels')}",
            f"| {self.say('label')} | {self.say('in_train')} | {self.say('in_valid')} |\n|---|---|---|\n"
            + "\n".join(counts),
            *self.notes_texts(),
            self.balance_text(),
            f"## {self.say('scores')}",
            f"| {' | '.join(header)} |\n|{'---|' * len(header)}\n" + "\n".join(scores),
            *self.method_texts(),
            f"## {self.say('use')}",
            f"```python\n{USE_WINDOWS if 'windows' in self.cut else USE[self.problem]}\n```",
            self.say("limits"),
            f"## {self.say('made_with')}",
            self.say("model", **self.setting),
            *self.kept_texts(),
            "\n".join(f"- {name} {version}" for name, version in self.versions.items()),
        ]
        return "\n\n".join(part for part in parts if part) + "\n"


def method_texts(report: Report) -> list[str]:
    """The sentences of a report on its method: a head that is as good, a head that was enough, or what LoRA trained."""
    found = report.method
    if found.get("verdict", "beaten") != "beaten" and found["seconds"] < found["train"]:
        right = {"tuned": found["right"]["tuned"], "best": found["right"]["head"]}
        values = {**(found["closer"] or right), "total": report.size("valid")}
        seconds = {"seconds": f"{found['seconds']:.0f}", "train": f"{found['train']:.0f}"}
        return [report.say("head_enough", **values, **seconds)]
    if "times" in found:
        return [report.say("by_head", times=f"{found['times']:.0f}")]
    if "trained" in found:
        share = f"{100 * found['trained'] / found['all']:.1f}"
        texts = [report.say("by_lora", rank=found["rank"], trained=f"{found['trained']:,}", share=share)]
        return texts if found["merged"] else [*texts, report.say("adapter_alone", base=found["base"])]
    return []


def cell_text(value: object) -> str:
    """A value as a cell of a Markdown table.

    >>> cell_text("a|b")
    'a\\\\|b'
    """
    return " ".join(escape(str(value)).split()).replace("|", "\\|")


def versions() -> dict[str, str]:
    """The versions of the libraries that a result depends on.

    >>> "torch" in versions()
    True
    """
    return {name: importlib.metadata.version(name) for name in ("torch", "transformers", "datasets", "scikit-learn")}


def label_counts(prepared: Prepared) -> list[dict]:
    """How many rows each label has in training and in validation.

    >>> from datasets import Dataset
    >>> rows = Dataset.from_dict({"text": ["good", "bad"], "label": [1, 0]})
    >>> label_counts(Prepared(rows, rows, ["bad", "good"], {}, 2, {}))[0]
    {'label': 'bad', 'train': 1, 'valid': 1}
    """
    if prepared.problem == NUMBER:
        size = len(prepared.train)
        groups = number_groups(
            np.concatenate([column_array(part, "label") for part in (prepared.train, prepared.valid)])
        )
        return [
            {"label": name, "train": int(rows[:size].sum()), "valid": int(rows[size:].sum())} for name, rows in groups
        ]
    size = len(prepared.names)
    parts = [column_array(part, "label") for part in (prepared.train, prepared.valid)]
    counts = [np.bincount(part, minlength=size) if part.ndim == 1 else part.sum(axis=0) for part in parts]
    return [
        {"label": name, "train": int(counts[0][n]), "valid": int(counts[1][n])} for n, name in enumerate(prepared.names)
    ]


def report_on(prepared: Prepared, history, found: dict, lang: str, **made) -> Report:
    """The report of a training; `found` is what `measure` returns, and `made` are `seconds`, `setting` and `cut`.

    >>> from ftcourse.finetune import accuracy_f1, measure
    >>> from ftcourse.loop import History
    >>> from datasets import Dataset
    >>> rows = Dataset.from_dict({"text": ["good", "bad"], "label": [1, 0]})
    >>> prepared, always = Prepared(rows, rows, ["bad", "good"], {}, 2, {}), {"majority": np.array([0, 0])}
    >>> found = measure(prepared, np.eye(2)[[1, 0]], always, accuracy_f1)
    >>> report_on(prepared, History(), found, "en", seconds={}, setting={}).names
    ['bad', 'good']
    """
    story = {"source": prepared.source, "read": prepared.read, "dropped": prepared.dropped, "history": vars(history)}
    story |= {"notes": prepared.notes, "problem": prepared.problem, "apart": prepared.apart}
    story["sizes"] = {"train": len(prepared.train), "valid": len(prepared.valid)}
    return Report(lang=lang, labels=label_counts(prepared), **story, **found, **made, versions=versions())


def setting_of(model: str, config) -> dict:
    """The model's name, without the folder that it lies in, and the configuration.

    >>> from ftcourse.loop import TrainConfig
    >>> setting_of("google-bert/bert-base-cased", TrainConfig())["model"]
    'google-bert/bert-base-cased'
    """
    return {"model": name_of(model) if Path(model).is_dir() else model} | vars(config)


def load_report(folder: str | Path) -> Report:
    """The report in a folder that `finetune` filled. Raises `FileNotFoundError` where there is none.

    >>> load_report("nowhere")
    Traceback (most recent call last):
    FileNotFoundError: ...'nowhere/report.json'
    """
    return Report(**json.loads((Path(folder) / "report.json").read_text(encoding="utf-8")))


def show_report(folder: str | Path) -> None:
    """The report in a folder that `finetune` filled: a page in a notebook, or else text; once for a launch.

    >>> show_report("nowhere")
    Traceback (most recent call last):
    FileNotFoundError: ...'nowhere/report.json'
    """
    report = load_report(folder)
    if process_number():
        return
    if is_in_notebook():
        from IPython.display import display

        display(report)
    else:
        try:
            print(report)
        except UnicodeEncodeError:  # a file or pipe in an encoding without these letters, as on Windows
            encoding = sys.stdout.encoding or "ascii"
            print(str(report).encode(encoding, "backslashreplace").decode(encoding))
