"""Conditions of the exercises of chapter 08."""

import numpy as np


def least_found(name, report) -> bool:
    matrix = np.array(report.confusion)
    recall = dict(zip(report.names, matrix.diagonal() / matrix.sum(axis=1), strict=True))
    return recall[name] == min(recall.values())


CONDITIONS = {
    1: {
        "number": lambda n: isinstance(n, int),
        "total": lambda n, report: n == sum(entry["count"] for entry in report.dropped.values()),
    },
    2: {"name": lambda name, report: name in report.names, "least": least_found},
    3: {
        "list": lambda rows: isinstance(rows, list) and all(isinstance(row, int) for row in rows),
        "contradiction": lambda rows: not {1, 2} & {*rows},
        "rare": lambda rows: 0 not in rows,
        "rows": lambda rows: sorted(rows) == [3, 4],
    },
}
