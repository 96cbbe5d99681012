"""The translations: in step with English, complete, and in their own script; and the tool that sees to it."""

import json
import shutil

import nbformat
import pytest
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook, new_output

from tools import settings, translate
from tools.conversion import converter, corrections
from tools.learn import run_notebook
from tools.links import broken_links
from tools.markdown import fixed_parts, unwrap_rtl, wrap_rtl
from tools.own import EXAMPLES, missing_numbers, tagged, ungrounded
from tools.settings import ROOT, chapters, languages, notebook
from tools.translate import NotebookError, accept, check, deviations, main, read, sync, translatable

TRANSLATIONS = [lang for lang in languages() if lang != "en"]
SETTINGS = """[course]
languages = en ar zh zh-Hant
right_to_left = ar
derived = zh-Hant:zh/s2twp
chapters = 00_small
"""


@pytest.fixture
def project(tmp_path, monkeypatch):
    """A course of one small chapter, in its own folder."""
    monkeypatch.setattr(settings, "ROOT", tmp_path)
    monkeypatch.setattr(translate, "CATALOGUES", tmp_path / "catalogues")
    monkeypatch.setattr(translate, "TABLES", tmp_path)
    (tmp_path / "settings.ini").write_text(SETTINGS, encoding="utf-8")
    cells = [
        new_markdown_cell("# Small\n\n> What it is.", id="title"),
        new_code_cell('lang = "en"', id="params", metadata={"tags": ["parameters"]}),
        new_markdown_cell("Call `len` 2 times, see [docs](https://docs.python.org).", id="why"),
        new_code_cell("len(lang), 1", id="code"),
    ]
    path = tmp_path / "nbs/en/00_small.ipynb"
    path.parent.mkdir(parents=True)
    nbformat.write(new_notebook(cells=cells), path)
    return tmp_path


TITLE = {"ar": "# صغير\n\n> ما هذا.", "zh": "# 小\n\n> 这是什么软件。"}
WHY = {
    "ar": "استدعِ `len` مرّتين 2، وانظر [الوثائق](https://docs.python.org).",
    "zh": "调用 `len` 2 次，见[文档](https://docs.python.org)。",
}


def edit(lang: str, cell_id: str, **changes) -> None:
    path = notebook(lang, "00_small")
    nb = nbformat.read(path, as_version=4)
    cell = next(cell for cell in nb.cells if cell.id == cell_id)
    for name, value in changes.items():
        setattr(cell, name, value)
    nbformat.write(nb, path)


def cell(lang: str, cell_id: str) -> nbformat.NotebookNode:
    return next(cell for cell in read(notebook(lang, "00_small")).cells if cell.id == cell_id)


def add(new: nbformat.NotebookNode) -> None:
    """A cell more in the English notebook."""
    path = notebook("en", "00_small")
    nb = read(path)
    nb.cells.append(new)
    nbformat.write(nb, path)


def said(notes: list) -> list[tuple[str, str]]:
    return [(note.cell, note.text) for note in notes]


def translated(*langs: str) -> None:
    """The small chapter, translated into these languages."""
    sync(["ar", "zh"], ["00_small"])
    for lang in langs:
        edit(lang, "title", source=TITLE[lang])
        edit(lang, "why", source=WHY[lang])
    assert sync(langs, ["00_small"]) == []


def test_every_translation_is_in_step():
    assert TRANSLATIONS
    assert [str(note) for note in check(TRANSLATIONS, chapters())] == []


def test_code_is_the_same_in_all_languages():
    compared = 0
    for lang in TRANSLATIONS:
        for chapter in chapters():
            english, other = (read(notebook(one, chapter)).cells for one in ("en", lang))
            for ours, theirs in zip(english, other, strict=True):
                assert (ours.id, ours.cell_type) == (theirs.id, theirs.cell_type)
                if ours.cell_type == "code" and not tagged(ours, EXAMPLES):
                    expected = f'lang = "{lang}"' if ours.source == 'lang = "en"' else ours.source
                    assert theirs.source == expected, (lang, chapter, ours.id)
                    compared += 1
    assert compared > 400 * len(TRANSLATIONS)


def test_the_first_sync_lists_every_prose_cell(project):
    assert said(sync(["ar"], ["00_small"])) == [("title", "to do"), ("why", "to do")]
    assert cell("ar", "params").source == 'lang = "ar"'


def test_a_second_sync_changes_no_byte(project):
    translated("ar", "zh")
    before = notebook("ar", "00_small").read_bytes()
    sync(["ar"], ["00_small"])
    assert notebook("ar", "00_small").read_bytes() == before


def test_changed_english_makes_a_cell_stale_until_it_is_accepted(project):
    translated("zh")
    assert check(["zh"], ["00_small"]) == []
    edit("en", "why", source="Now call `len` 2 times, see [docs](https://docs.python.org).")
    assert said(check(["zh"], ["00_small"])) == [("why", "stale")]
    assert said(sync(["zh"], ["00_small"])) == [("why", "stale")]
    assert cell("zh", "why").source == WHY["zh"]
    assert accept("zh", "00_small", ["why"]) == 1
    assert check(["zh"], ["00_small"]) == []


def test_an_untouched_copy_follows_the_english(project):
    sync(["zh"], ["00_small"])
    edit("en", "why", source="Something else.")
    assert ("why", "to do") in said(sync(["zh"], ["00_small"]))
    assert cell("zh", "why").source == "Something else."


def test_a_cell_may_stay_english_on_purpose(project):
    translated("zh")
    edit("zh", "title", source=cell("en", "title").source)
    assert accept("zh", "00_small", ["title"]) == 1
    assert check(["zh"], ["00_small"]) == []


def test_an_arabic_comma_in_code_is_found(project):
    translated("ar")
    edit("ar", "code", source="len(lang)، 1")
    assert said(check(["ar"], ["00_small"])) == [("code", "code is not that of the English cell")]


@pytest.mark.parametrize(
    ("source", "part"),
    [
        ("调用 `length` 2 次，见[文档](https://docs.python.org)。", "code"),
        ("调用 `len` 3 次，见[文档](https://docs.python.org)。", "numbers"),
        ("调用 `len` 2 次，见[文档](https://docs.python.com)。", "links"),
        ("调用 `len` 2 次，**见[文档](https://docs.python.org)。<br>", "tags"),
        ("调用 `len` 2 次，见[文档](https://docs.python.org)。$x$", "formulas"),
    ],
)
def test_fixed_parts_must_be_those_of_the_english(project, source, part):
    translated("zh")
    edit("zh", "why", source=source)
    assert said(check(["zh"], ["00_small"]))[0][1].startswith(f"{part} differ")


def test_further_reading_may_be_another_in_each_language(project):
    translated("zh")
    add(new_markdown_cell("## Further reading\n\n[a](https://a.org)", id="further"))
    sync(["zh"], ["00_small"])
    edit("zh", "further", source="## 延伸阅读\n\n[文档一](https://b.org)，[文档二](https://c.org)")
    assert check(["zh"], ["00_small"]) == []


OWN_CELL = {"id": "look", "metadata": {"tags": ["own"]}}


@pytest.fixture
def own(project):
    """The small chapter with a cell of own prose, translated into Chinese."""
    translated("zh")
    add(new_markdown_cell("Of 200 texts, `lang` and `good` have 3. [a](https://a.org)\n\n```\nx\n```", **OWN_CELL))
    sync(["zh"], ["00_small"])
    return "`lang` 有 45 个，`好` 和 `很好` 也在里面。[文档](https://a.org)\n\n```\nx\n```"


def test_own_prose_may_have_other_numbers_and_examples(own):
    edit("zh", "look", source=own)
    assert check(["zh"], ["00_small"]) == []
    assert cell("zh", "look").metadata.tags == ["own"]
    edit("en", "look", source=cell("en", "look").source + " More.")
    assert said(check(["zh"], ["00_small"])) == [("look", "stale")]


@pytest.mark.parametrize(
    ("was", "now", "part"),
    [
        ("`lang`", "`length`", "code"),
        ("a.org", "b.org", "links"),
        ("\nx\n", "\ny\n", "code blocks"),
        ("45", "<b>45</b>", "tags"),
    ],
)
def test_own_prose_keeps_api_links_blocks_of_code_and_tags(own, was, now, part):
    edit("zh", "look", source=own.replace(was, now))
    assert said(check(["zh"], ["00_small"]))[0][1].startswith(f"{part} differ")


def screen(prose: str, *outputs) -> list:
    cells = [
        new_code_cell("show(model, lr=1)", outputs=list(outputs)),
        new_markdown_cell(wrap_rtl(prose), **OWN_CELL),
        new_code_cell("2", outputs=[new_output("stream", text="later 77")]),
    ]
    return ungrounded(new_notebook(cells=cells))


@pytest.mark.parametrize(
    "prose",
    [
        "0.82 or 82 % or 82.3%",
        "1,234 rows, two models, F1 and GPT2",
        "`model`, `model.train()`, `lr=3`, `None` and `show(7)`",
        "`▁good` and `'bad'`",
        "1. one\n2. two",
        "see [chapter 05](05_trainer.ipynb) and $x^9$",
        "```\n99\n```",
    ],
)
def test_own_prose_speaks_of_what_is_shown(prose):
    table = {"text/plain": "accuracy 0.8234", "text/html": "<td style='width: 5px'>1234</td><td>▁good</td>"}
    assert screen(prose, new_output("display_data", table), new_output("stream", text="bad\n")) == []


@pytest.mark.parametrize(
    ("prose", "missing"),
    [
        ("0.83", "0.83"),
        ("82", "82"),
        ("82 %", ""),
        ("83 %", "83%"),
        ("77 comes later", "77"),
        ("`▁bad` and `model`", "`▁bad`"),
        ("5 px is no output", "5"),
    ],
)
def test_own_prose_that_speaks_of_something_else_is_named(prose, missing):
    found = screen(prose, new_output("display_data", {"text/html": "<td style='width: 5px'>0.8234</td>"}))
    assert found == ([("look", f"in no stored output above it: {missing}")] if missing else [])


def test_own_prose_in_chinese_and_arabic_is_read():
    assert missing_numbers("准确率是 0.82，共 45 条，占 9％。", "0.8234") == ["45", "9%"]
    assert missing_numbers("الدقّة 0.82، أي 82%، في 45 نصًّا.", "0.8234") == ["45"]


@pytest.mark.parametrize(("lang", "chapter"), [(lang, chapter) for lang in languages() for chapter in chapters()])
def test_all_own_prose_speaks_of_what_is_shown(lang, chapter):
    assert [str(note) for note in translate.off_screen([lang], [chapter])] == []


EXAMPLES_CELL = {"id": "texts", "metadata": {"tags": ["examples"]}}


@pytest.fixture
def with_examples(project):
    """The small chapter with a cell of examples, in step with Chinese ones."""
    translated("zh")
    add(new_code_cell('text = "good"\npairs = [("a", "b")]', **EXAMPLES_CELL))
    assert said(sync(["zh"], ["00_small"])) == [("texts", "to do")]
    assert cell("zh", "texts").source == cell("en", "texts").source
    edit("zh", "texts", source='text = "很好"\npairs = [("甲", "乙"), ("丙", "丁")]')
    return project


def test_a_language_has_examples_of_its_own(with_examples):
    before = cell("zh", "texts").source
    assert check(["zh"], ["00_small"]) == [] == sync(["zh"], ["00_small"])
    assert cell("zh", "texts").source == before
    edit("en", "texts", source='text = "bad"\npairs = [("a", "b")]')
    assert said(sync(["zh"], ["00_small"])) == [("texts", "stale")]
    assert cell("zh", "texts").source == before
    assert accept("zh", "00_small", ["texts"]) == 1
    assert check(["zh"], ["00_small"]) == []


def test_examples_may_stay_english_on_purpose(with_examples):
    edit("zh", "texts", source=cell("en", "texts").source)
    assert said(check(["zh"], ["00_small"])) == [("texts", "to do")]
    accept("zh", "00_small", ["texts"])
    assert check(["zh"], ["00_small"]) == []


@pytest.mark.parametrize(
    ("source", "complaint"),
    [
        ('text = "很好"', "assigns {'text': 'str'}, in English {'text': 'str', 'pairs': 'list'}"),
        ('text = ["很好"]\npairs = []', "assigns {'text': 'list'"),
        ('pairs = []\ntext = "很好"', "assigns {'pairs': 'list'"),
        ('text = "很好"\npairs = [1]', "line 2 does more: move it to a cell of its own"),
        ('text = f"{lang}"\npairs = []', "line 1 does more"),
        ('text = "很好"\npairs = []\nlen(pairs)', "line 3 does more"),
        ('text = "很好، \npairs = []', "line 1 is no Python"),
    ],
)
def test_examples_have_the_names_and_kinds_of_the_english_ones(with_examples, source, complaint):
    edit("zh", "texts", source=source)
    [(name, text)] = said(check(["zh"], ["00_small"]))
    assert name == "texts" and complaint in text


def test_english_examples_that_do_more_are_named(with_examples):
    edit("en", "texts", source='text = "good"\nprint(text)')
    notes = [str(note) for note in check(["zh"], ["00_small"])]
    assert notes[0].startswith("nbs/en/00_small.ipynb, cell texts: a cell tagged examples only assigns strings")


def test_a_link_that_leads_nowhere_in_the_course_is_found(project):
    text = "[a](00_small.ipynb) [b](gone.ipynb) [c](glossary.md#loss) [d](glossary.md#gain) [e](https://a.org)"
    edit("en", "why", source=f"{text}, but not `[f](gone.md)`.")
    (project / "nbs/en/glossary.md").write_text('<a id="loss"></a>\n', encoding="utf-8")
    assert said(broken_links("en", "00_small")) == [
        ("why", "gone.ipynb leads nowhere: there is no file gone.ipynb"),
        ("why", "glossary.md#gain leads nowhere: glossary.md has no gain"),
    ]


def test_prose_in_latin_script_is_found(project):
    translated("zh")
    edit("zh", "why", source="please call `len` 2 times, see [the docs](https://docs.python.org).")
    assert "in the language's script" in said(check(["zh"], ["00_small"]))[0][1]


def test_outputs_stay_with_unchanged_code(project):
    translated("zh")
    edit("zh", "code", outputs=[new_output("stream", text="2\n")])
    sync(["zh"], ["00_small"])
    assert cell("zh", "code").outputs
    edit("en", "code", source="len(lang), 2")
    sync(["zh"], ["00_small"])
    assert not cell("zh", "code").outputs


def test_cells_are_added_moved_and_removed_as_in_english(project):
    translated("zh")
    path = notebook("en", "00_small")
    nb = read(path)
    nb.cells = [nb.cells[0], nb.cells[1], new_markdown_cell("New.", id="new"), nb.cells[3]]
    nbformat.write(nb, path)
    assert ("why", "no such cell in English") in said(check(["zh"], ["00_small"]))
    assert ("new", "to do") in said(sync(["zh"], ["00_small"]))
    assert [cell.id for cell in read(notebook("zh", "00_small")).cells] == ["title", "params", "new", "code"]


def test_traditional_chinese_is_derived(project):
    (project / "catalogues/zh").mkdir(parents=True)
    (project / "catalogues/zh/common.json").write_text('{"a": "软件 {given}"}', encoding="utf-8")
    translated("zh")
    assert said(check(["zh-Hant"], ["00_small"])) == [
        ("any", "out of step; run python -m tools.translate sync"),
        ("any", "common.json is out of step; run sync"),
    ]
    sync(["zh-Hant"], ["00_small"])
    assert cell("zh-Hant", "title").source == "# 小\n\n> 這是什麼軟體。"
    assert cell("zh-Hant", "params").source == 'lang = "zh-Hant"'
    assert json.loads((project / "catalogues/zh-Hant/common.json").read_text("utf-8")) == {"a": "軟體 {given}"}
    assert check(["zh-Hant"], ["00_small"]) == []


@pytest.fixture
def hant(project):
    """The small chapter in Traditional Chinese, its title as Taiwan would write it, not accepted yet."""
    translated("zh")
    sync(["zh-Hant"], ["00_small"])
    edit("zh-Hant", "title", source=BY_HAND)
    return project


BY_HAND = "# 小\n\n> 這是什麼程式。"
UNACCEPTED = [("title", translate.CHANGED)]


def test_what_was_changed_and_not_accepted_is_named_and_kept(hant):
    assert said(check(["zh-Hant"], ["00_small"])) == UNACCEPTED
    assert said(sync(["zh-Hant"], ["00_small"])) == UNACCEPTED
    edit("zh", "title", source="# 小课\n\n> 这是什么软件。")
    assert said(sync(["zh-Hant"], ["00_small"])) == UNACCEPTED
    assert cell("zh-Hant", "title").source == BY_HAND
    assert sync(["zh-Hant"], ["00_small"], force=True) == []
    assert cell("zh-Hant", "title").source == "# 小課\n\n> 這是什麼軟體。"


def test_a_cell_mended_by_hand_is_kept_and_goes_stale_with_its_source(hant):
    assert accept("zh-Hant", "00_small", ["title"]) == 1
    assert check(["zh-Hant"], ["00_small"]) == [] == sync(["zh-Hant"], ["00_small"], force=True)
    assert cell("zh-Hant", "title").source == BY_HAND
    edit("zh", "title", source="# 小课\n\n> 这是什么软件。")
    assert said(check(["zh-Hant"], ["00_small"])) == [("title", "stale")]
    assert said(sync(["zh-Hant"], ["00_small"])) == [("title", "stale")]
    assert cell("zh-Hant", "title").source == BY_HAND
    assert accept("zh-Hant", "00_small", []) == 1
    assert check(["zh-Hant"], ["00_small"]) == []


def test_a_cell_mended_by_hand_does_not_go_unnoticed(hant):
    nb = read(notebook("en", "00_small"))
    nb.cells = [cell for cell in nb.cells if cell.id != "title"]
    nbformat.write(nb, notebook("en", "00_small"))
    assert said(sync(["zh-Hant"], ["00_small"])) == [("title", "no such cell in English")]


def test_a_cell_that_is_as_the_conversion_gives_it_is_derived_again(hant):
    accept("zh-Hant", "00_small", ["title"])
    edit("zh-Hant", "title", source="# 小\n\n> 這是什麼軟體。")
    accept("zh-Hant", "00_small", ["title"])
    assert translate.BY_HAND not in cell("zh-Hant", "title").metadata[translate.KEY]
    assert check(["zh-Hant"], ["00_small"]) == []


def test_a_cell_mended_by_hand_keeps_what_is_fixed(hant):
    edit("zh-Hant", "why", source="呼叫 `length` 2 次，見[文件](https://docs.python.org)。")
    accept("zh-Hant", "00_small", [])
    assert said(check(["zh-Hant"], ["00_small"]))[0][1].startswith("code differ")


def test_examples_are_derived_or_mended_by_hand(with_examples):
    sync(["zh-Hant"], ["00_small"])
    assert cell("zh-Hant", "texts").source == 'text = "很好"\npairs = [("甲", "乙"), ("丙", "丁")]'
    edit("zh-Hant", "texts", source='text = "超讚"\npairs = []')
    assert said(check(["zh-Hant"], ["00_small"])) == [("texts", translate.CHANGED)]
    accept("zh-Hant", "00_small", ["texts"])
    assert check(["zh-Hant"], ["00_small"]) == []
    edit("zh-Hant", "texts", source='text = "超讚"')
    assert "in English {'text': 'str', 'pairs': 'list'}" in said(check(["zh-Hant"], ["00_small"]))[0][1]


def test_messages_mended_by_hand_are_kept_and_go_stale(hant):
    accept("zh-Hant", "00_small", [])
    (hant / "catalogues/zh").mkdir(parents=True)
    (hant / "catalogues/zh/common.json").write_text('{"a": "这一列", "b": "软件"}', encoding="utf-8")
    table = {"common": {"a": {"src": translate.digest("这一列"), "text": "這一欄"}}}
    path = hant / "messages-zh-Hant.json"
    path.write_text(json.dumps(table), encoding="utf-8")
    assert sync(["zh-Hant"], ["00_small"]) == [] == check(["zh-Hant"], ["00_small"])
    texts = json.loads((hant / "catalogues/zh-Hant/common.json").read_text("utf-8"))
    assert texts == {"a": "這一欄", "b": "軟體"}
    table = {"common": {"a": {"src": "", "text": "這一欄"}, "c": {"src": "", "text": ""}}, "none": {}}
    path.write_text(json.dumps(table), encoding="utf-8")
    notes = [str(note) for note in check(["zh-Hant"], ["00_small"])]
    assert notes[0].startswith("tools/messages-zh-Hant.json, common, a: stale; look at it, then set its src to")
    assert [note.split(": ")[1] for note in notes[1:]] == ["no such message in zh", "no such file in zh"]


def broken(lang: str, kind: str) -> None:
    path = notebook(lang, "00_small")
    content = json.loads(path.read_text(encoding="utf-8"))
    if kind == "lost":
        del content["cells"][2]["id"]
    elif kind == "twice":
        content["cells"][2]["id"] = "title"
    elif kind == "type":
        content["cells"][2] |= {"cell_type": "raw"}
    text = "{" if kind == "json" else json.dumps(content)
    path.write_text(text, encoding="utf-8")


@pytest.mark.parametrize(
    ("kind", "message"),
    [
        ("lost", "cell number 3 has lost its id"),
        ("twice", "two cells have the id title"),
        ("type", "cell why is raw, in English markdown"),
        ("json", "not a notebook"),
    ],
)
def test_a_broken_notebook_is_named_and_nothing_is_written(project, capsys, kind, message):
    translated("ar", "zh")
    edit("en", "why", source="Something else.")
    broken("zh", kind)
    before = {path: path.read_bytes() for path in project.rglob("*.ipynb")}
    assert main(["sync"]) == 2
    error = capsys.readouterr().err
    assert "zh/00_small.ipynb" in error and message in error
    assert before == {path: path.read_bytes() for path in project.rglob("*.ipynb")}


def test_an_unknown_language_or_cell_is_refused(project, capsys):
    assert main(["sync", "--lang", "fr"]) == 2
    assert "unknown language 'fr'; known: en, ar, zh, zh-Hant" in capsys.readouterr().err
    translated("zh")
    with pytest.raises(NotebookError, match="no cell of prose or examples nothing"):
        accept("zh", "00_small", ["nothing"])


RIGHT_TO_LEFT = [
    "# عنوان",
    "نص `a+1` و ``b`c`` نهاية.",
    "قبل\n\n```python\nx = `1`\n```\n\nبعد `z`",
    "```\nكود\n```",
    "- `a`\n- ب\n\n| `x` | 1 |\n|---|---|\n| a | b |",
    "<details><summary>A. نعم</summary>✓ لأنّ <code>x</code> كذا.</details>",
    "<details><summary>الحل</summary>\n\n```python\nx = 1\n```\n\n</details>",
]


@pytest.mark.parametrize("text", RIGHT_TO_LEFT)
def test_wrapping_can_be_undone(text):
    wrapped = wrap_rtl(text)
    assert wrapped != text and unwrap_rtl(wrapped) == text
    assert wrap_rtl(wrapped) == wrapped
    assert fixed_parts(unwrap_rtl(wrapped)) == fixed_parts(text)


def test_a_word_beside_the_glossary_is_reported():
    assert deviations("The tokenizer.", "使用分词器。", "zh") == []
    assert deviations("The tokenizer.", "使用标记器。", "zh") == ["tokenizer"]
    assert deviations("The loss.", "وهكذا تنخفض الخسارة.", "ar") == []
    assert deviations("The attention mask.", "注意力遮罩。", "zh-Hant") == []
    assert deviations("The attention mask.", "注意力掩碼。", "zh-Hant") == ["attention mask"]
    assert deviations("Mixed precision.", "混合精度。", "zh") == []
    assert deviations("The loss.", "La perte.", "fr") == []


def test_a_new_language_is_a_course_at_once(tmp_path, monkeypatch):
    monkeypatch.setattr(settings, "ROOT", tmp_path)
    shutil.copytree(ROOT / "nbs/en", tmp_path / "nbs/en")
    text = (ROOT / "settings.ini").read_text(encoding="utf-8")
    text = text.replace("languages = en", "examples = xx:en\nlanguages = en xx")
    (tmp_path / "settings.ini").write_text(text, encoding="utf-8")
    notes = sync(["xx"], chapters())
    prose = {(chapter, c.id) for chapter in chapters() for c in read(notebook("en", chapter)).cells if translatable(c)}
    assert {(note.chapter, note.cell) for note in notes} == prose and {note.text for note in notes} == {"to do"}
    run_notebook(read(notebook("xx", "00_start")), tmp_path)


TABLES = [ROOT / "tools" / "s2twp.tsv", ROOT / "kit" / "s2twp.tsv"]


@pytest.mark.parametrize("table", TABLES, ids=lambda table: table.parent.name)
def test_what_the_conversion_gets_wrong_is_mended_once(table):
    right = corrections(table)
    assert len(right) >= 20 and any(wrong != better for wrong, better in right.items())
    lines = table.read_text(encoding="utf-8").splitlines()[1:]
    assert len({line.split("\t")[0] for line in lines}) == len(lines) == len(right)


def test_longer_entries_come_first_and_guards_hold(tmp_path):
    (tmp_path / "table.tsv").write_text("converted\tright\n庫\t函式庫\n資料庫\t資料庫\n", encoding="utf-8")
    assert converter("s2twp", tmp_path / "table.tsv")("数据库和库") == "資料庫和函式庫"
    assert converter("s2twp", tmp_path / "none.tsv")("数据库") == "資料庫"


def test_traditional_chinese_has_no_known_mistake_left():
    """The table knows what the conversion gets wrong in its place; what somebody wrote by hand is not looked at."""
    cells = [cell for name in chapters() for cell in read(notebook("zh-Hant", name)).cells]
    texts = [cell.source for cell in cells if translate.BY_HAND not in cell.metadata.get(translate.KEY, {})]
    mended = json.loads((translate.TABLES / "messages-zh-Hant.json").read_text(encoding="utf-8"))
    for path in (translate.CATALOGUES / "zh-Hant").glob("*.json"):
        messages = json.loads(path.read_text(encoding="utf-8"))
        texts += [text for key, text in messages.items() if key not in mended.get(path.stem, {})]
    wrong = [entry for entry, better in corrections(TABLES[0]).items() if len(entry) > 1 and entry not in better]
    left = {entry for text in texts for entry in wrong if entry in text}
    assert len(texts) > 500 and len(wrong) > 80 and not left
