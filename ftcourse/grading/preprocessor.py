"""For those who grade with nbgrader: its `autograde` takes the verdicts of the sandbox, instead of running answers and
checks in one process. The nbgrader_config.py that `ftcourse assignment` writes names the class."""

import atexit
from contextlib import ExitStack
from pathlib import Path
from tempfile import TemporaryDirectory

import nbformat
from nbgrader.preprocessors import NbGraderPreprocessor

from ftcourse.engine.messages import language
from ftcourse.grading.judge import Judge
from ftcourse.grading.marks import unfenced
from ftcourse.grading.notebooks import ELSEWHERE, PART, grade_id, hand_in


class Judged(NbGraderPreprocessor):
    """Puts an error into each checking cell whose answer does not hold, and nothing into the others."""

    stack = ExitStack()
    judges: dict[tuple[str, str], Judge] = {}

    def judge(self, chapter: str, lang: str) -> Judge:
        """The judge of a chapter, started once and kept until the end."""
        if (chapter, lang) not in self.judges:
            judge = self.judges[chapter, lang] = self.stack.enter_context(Judge(chapter, lang))
            judge.start()
            if judge.missing:
                self.log.warning(unfenced(judge))
        return self.judges[chapter, lang]

    def preprocess(self, nb, resources):
        """Judges a notebook."""
        with TemporaryDirectory() as folder:
            path = Path(folder, f"{resources['metadata']['name']}.ipynb")
            nbformat.write(nb, path)
            one = hand_in(path, resources["nbgrader"]["student"], language())
        if one.chapter in ELSEWHERE:
            return nb, resources
        verdicts = self.judge(one.chapter, one.lang).judge(one)
        for cell in nb.cells:
            part = PART.fullmatch(grade_id(cell))
            if not (part and part[1] == "check" and cell.cell_type == "code"):
                continue
            solved, text = verdicts.solved[int(part[2])], verdicts.texts[int(part[2])]
            error = {"ename": "AssertionError", "evalue": f"\u2717 {text}", "traceback": [f"\u2717 {text}"]}
            cell.outputs = [] if solved else [nbformat.v4.new_output("error", **error)]
        return nb, resources


atexit.register(Judged.stack.close)
