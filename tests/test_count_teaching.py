"""What counts as a line that teaches."""

import pytest
from nbformat.v4 import new_code_cell, new_notebook

from tools.count_teaching import chapter_lines, code_lines, exported_lines, main, share_that_teaches
from tools.settings import chapters


def kinds(source: str) -> list[str]:
    return [line.kind for line in code_lines(new_code_cell(source))]


@pytest.mark.parametrize(
    ("source", "expected"),
    [
        ("model = load()", ["teaches"]),
        ("import torch\nfrom a import (\n    b,\n)", ["imports"] * 4),
        ("assert x > 1\nraise ValueError(x)", ["validates"] * 2),
        ("if x < 0:\n    raise ValueError(\n        x\n    )", ["validates"] * 4),
        ("if not isinstance(x, int):\n    raise TypeError(x)", ["types"] * 2),
        ("if x < 0:\n    x = -x", ["teaches"] * 2),
        ("check_texts(x)\ntorch.testing.assert_close(x, y)", ["validates"] * 2),
        ("print(x)\nax.set_title(\n    x\n)\nf'{x:.2f}', f'{y}'", ["formats"] * 5),
        ("x.loss, f'{y}'", ["teaches"]),
        ("datasets.disable_progress_bars()\nlogging.set_verbosity_error()", ["quiets"] * 2),
        ("with warnings.catch_warnings():\n    x = 1", ["quiets", "teaches"]),
        (
            "try:\n    x = f()\nexcept ValueError as error:\n    x = str(error)",
            ["catches", "teaches", "catches", "catches"],
        ),
        ("with suppress(OSError):\n    f()", ["catches", "teaches"]),
        ("x: int\nT = TypeVar('T')", ["types"] * 2),
        (
            'def f(x):\n    """Does.\n\n    >>> f(1)\n    """\n\n    # why\n    assert x\n    return x',
            ["teaches", "validates", "teaches"],
        ),
        ("@cache\ndef f(x):\n    return x", ["teaches"] * 3),
        ("for x in y:\n    f(x)\nelse:\n    print(x)", ["teaches", "teaches", "teaches", "formats"]),
        ("%matplotlib inline", ["teaches"]),
        ("# only a comment", []),
    ],
)
def test_each_line_has_its_class(source, expected):
    assert kinds(source) == expected


def test_exported_lines_are_those_that_a_reader_reads():
    exported = '#| export\ndef f(x):\n    """Does."""\n\n    # why\n    return x'
    cells = [new_code_cell(exported), new_code_cell("#| export\nimport torch"), new_code_cell("f(1)")]
    nb = new_notebook(cells=cells)
    assert exported_lines(nb) == 2
    assert share_that_teaches(chapter_lines(nb)) == 0.75


def test_the_table_has_a_line_a_chapter(capsys):
    assert main([]) == 0
    assert [line.split()[0] for line in capsys.readouterr().out.splitlines()[1:]] == chapters()
    assert main(["--chapter", chapters()[0]]) == 0
    assert "imports" in capsys.readouterr().out
    assert main(["--chapter", "none"]) == 2
