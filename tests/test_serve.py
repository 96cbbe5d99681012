"""A model behind HTTP: its answers are the Predictor's, whatever is asked, by however many, up to the end."""

import asyncio
import json
import os
import re
import signal
import socket
import subprocess
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import httpx
import numpy as np
import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from starlette.testclient import TestClient
from transformers import AutoModelForSequenceClassification, AutoTokenizer
from typer.testing import CliRunner

from benchmarks.clients import Heard, all_clients
from ftcourse.cli import app as commands
from ftcourse.engine.checks import LANGS
from ftcourse.engine.messages import catalogue
from ftcourse.inference import Predictor
from ftcourse.service.app import Service, answers, make_app, pairs_of
from ftcourse.service.questions import Limits
from ftcourse.service.serve import check_origins, is_local
from ftcourse.service.worker import Full, Worker
from tests.test_messages import SCRIPTS
from tests.tiny import tiny_checkpoint
from tools.settings import ROOT

LIMITS = Limits(bytes=5000, texts=8, letters=500, waiting=64, seconds=5)


@pytest.fixture(scope="module")
def tiny(tmp_path_factory) -> str:
    return tiny_checkpoint(tmp_path_factory.mktemp("tiny"))


def of_kind(tiny: str, problem: str, labels: list[str]) -> Predictor:
    """A predictor for another kind of answers."""
    torch.manual_seed(1)
    names = {"id2label": dict(enumerate(labels)), "label2id": {label: number for number, label in enumerate(labels)}}
    model = AutoModelForSequenceClassification.from_pretrained(
        tiny, problem_type=problem, ignore_mismatched_sizes=True, num_labels=len(labels), **names
    )
    return Predictor(model, AutoTokenizer.from_pretrained(tiny))


class Asked:
    """A service that is asked without a network, with what it logs."""

    def __init__(self, predictor, limits=LIMITS, **options):
        self.lines = []
        self.service = Service(predictor, "tiny", limits=limits, log=self.lines.append, **options)
        self.http = TestClient(make_app(self.service), "http://127.0.0.1:8000", raise_server_exceptions=True)

    def ask(self, *, status=200, lang="en", headers=(), **body):
        answer = self.http.post("/predict", json=body, headers={"Accept-Language": lang, **dict(headers)})
        assert answer.status_code == status, answer.text
        return answer.json()["answers" if status == 200 else "error"]

    def close(self):
        self.service.worker.close()


@pytest.fixture(scope="module")
def asked(tiny):
    found = Asked(Predictor(tiny))
    yield found
    found.close()


def close_to(found: list[dict], predictor, *texts) -> bool:
    """Whether answers are those of a predictor, but for the last digits: other texts beside them change these."""
    right = answers(predictor.predict(*texts).probabilities, predictor.model.config, predictor.threshold)
    for one, other in zip(found, right, strict=True):
        for name in other:
            if isinstance(other[name], float | dict):
                assert one[name] == pytest.approx(other[name], abs=2e-5)
            else:
                assert one[name] == other[name]
    return True


# Answers


def test_answers_are_those_of_the_predictor(asked):
    texts = ["Lovely food.", "جيد جدا", "好吃", "Cold soup. " * 20]
    found = asked.ask(texts=texts)
    assert [*found[0]] == ["label", "probability", "probabilities"] and len(found) == 4
    assert close_to(found, asked.service.predictor, texts)
    pairs = ["One.", "Two.", "Three.", "Four."]
    assert close_to(asked.ask(texts=texts, pairs=pairs), asked.service.predictor, texts, pairs)


def test_several_labels_and_the_threshold(tiny):
    one = Asked(of_kind(tiny, "multi_label_classification", ["food", "price", "service"]))
    every = one.ask(texts=["Good."], threshold=0.0001)[0]
    assert every["labels"] == ["food", "price", "service"] == [*every["probabilities"]]
    assert one.ask(texts=["Good."], threshold=0.9999)[0]["labels"] == []
    assert close_to(one.ask(texts=["Good.", "Bad."]), one.service.predictor, ["Good.", "Bad."])
    assert "No label is probable enough" in one.http.post("/", data={"text": "Good."}).text or every
    one.close()


def test_numbers(tiny):
    one = Asked(of_kind(tiny, "regression", ["stars"]))
    found = one.ask(texts=["Good."])
    assert [*found[0]] == ["number"] and close_to(found, one.service.predictor, ["Good."])
    assert one.http.get("/health").json()["labels"] == []
    assert f"<output>{found[0]['number']}</output>" in one.http.post("/", data={"text": "Good."}).text
    one.close()


def test_what_no_number_is_is_null():
    class Config:
        problem_type, num_labels, id2label = None, 2, {0: "bad", 1: "good"}

    found = answers(np.array([[np.nan, np.nan]]), Config, 0.5)
    assert json.loads(json.dumps(found, allow_nan=False))[0]["probability"] is None


# What is refused


WRONG = [
    (b"", 422, "is not JSON"),
    (b"{", 422, "is not JSON"),
    (b"\xff\xfe\x00", 422, "is not JSON"),
    (b"[" * 4999, 422, "is not JSON"),
    (b"[]", 422, "expected an object with texts"),
    (b'{"text": ["Good."]}', 422, "expected an object with texts"),
    (b'{"texts": ["Good."], "treshold": 1}', 422, "unknown field 'treshold'; known: texts, pairs, threshold"),
    (b'{"texts": "Good."}', 422, "texts is 'Good.'; expected a list"),
    (b'{"texts": []}', 422, "texts is empty"),
    (b'{"texts": ["Good.", 7]}', 422, "texts[1] is 7"),
    (b'{"texts": ["Good.", " \\n"]}', 422, "texts[1] is blank"),
    (b'{"texts": ["\\ud83d"]}', 422, "texts[0] has half a character"),
    (b'{"texts": ["\\ud83d", 7], "\\ud83d": 1}', 422, "unknown field"),
    (b'{"texts": ["a", "b"], "pairs": ["c"]}', 422, "2 texts and 1 pairs"),
    (b'{"texts": ["a"], "pairs": [null]}', 422, "pairs[0] is None"),
    (b'{"texts": ["a"], "threshold": 50}', 422, "threshold is 50"),
    (b'{"texts": ["a"], "threshold": true}', 422, "threshold is True"),
    (b'{"texts": ["a"], "threshold": NaN}', 422, "threshold is nan"),
    (json.dumps({"texts": ["a"] * 9}).encode(), 413, "9 texts are too many at once; send up to 8"),
    (json.dumps({"texts": ["a" * 501]}).encode(), 413, "texts[0] has 501 characters; up to 500"),
    (json.dumps({"texts": ["a" * 5000]}).encode(), 413, "more than 5000 bytes"),
]


@pytest.mark.parametrize(("body", "status", "expected"), WRONG)
def test_what_is_wrong_with_a_request_is_told(asked, body, status, expected):
    answer = asked.http.post("/predict", content=body)
    assert answer.status_code == status and expected in answer.json()["error"]


def by_hand(service, receive, headers=()) -> tuple[int, dict]:
    """The answer of the application itself to a request whose parts come as `receive` gives them."""
    sent = []

    async def send(part):
        sent.append(part)

    scope = {"type": "http", "method": "POST", "path": "/predict", "query_string": b"", "headers": [*headers]}
    asyncio.run(make_app(service)(scope | {"scheme": "http", "server": ("127.0.0.1", 8000)}, receive, send))
    return sent[0]["status"], json.loads(sent[1]["body"])


def test_a_body_without_end_is_not_heard_to_its_end(asked):
    heard = []

    async def receive():
        heard.append(1)
        return {"type": "http.request", "body": b"x" * 1000, "more_body": True}

    status, content = by_hand(asked.service, receive)
    assert status == 413 and "more than 5000 bytes" in content["error"] and len(heard) == 101
    status, content = by_hand(asked.service, receive, [(b"content-length", b"10000000")])
    assert status == 413 and len(heard) == 101


def test_a_body_that_does_not_come_is_not_waited_for(asked):
    async def receive():
        await asyncio.sleep(60)

    one = Asked(asked.service.predictor, limits=Limits(seconds=0.05))
    status, content = by_hand(one.service, receive)
    assert status == 408 and "not there after 0.05 seconds" in content["error"]
    one.close()


def test_a_client_that_leaves_is_no_error(asked):
    async def receive():
        return {"type": "http.disconnect"}

    asked.lines.clear()
    with pytest.raises(ValueError):
        by_hand(asked.service, receive)
    assert len(asked.lines) == 1 and "POST /predict 400" in asked.lines[0]


@pytest.mark.parametrize("lang", LANGS)
@pytest.mark.parametrize(
    "body", [b"{", b"[]", b'{"texts": 1}', b'{"texts": [" "]}', json.dumps({"texts": ["a"] * 9}).encode()]
)
def test_refusals_speak_the_readers_language(asked, lang, body):
    wanted = {"zh-Hant": "zh-TW,zh;q=0.8", "zh": "zh-CN,en;q=0.5"}.get(lang, lang)
    said = asked.http.post("/predict", content=body, headers={"Accept-Language": wanted}).json()["error"]
    assert SCRIPTS[lang](said)
    server = Asked(asked.service.predictor, lang=lang)
    assert SCRIPTS[lang](server.http.post("/predict", content=body).json()["error"])
    server.close()


@pytest.mark.parametrize(("method", "path", "status"), [("GET", "/predict", 405), ("GET", "/nothing", 404)])
def test_other_addresses_are_told_what_there_is(asked, method, path, status):
    answer = asked.http.request(method, path)
    assert answer.status_code == status and "POST /predict" in answer.json()["error"]


def test_a_model_that_fails_is_no_traceback_and_spoils_no_other_answer(asked):
    class Fails:
        model, threshold = asked.service.predictor.model, 0.5

        def predict(self, texts, pairs=None):
            if "bad" in texts:
                raise RuntimeError("bad is a secret")
            return asked.service.predictor.predict(texts, pairs)

    one = Asked(Fails())
    one.service.worker.shared = True
    with ThreadPoolExecutor(4) as pool:
        calls = [pool.submit(one.http.post, "/predict", json={"texts": [text]}) for text in ("a", "bad", "b", "c")]
    assert [call.result().status_code for call in calls] == [200, 500, 200, 200]
    assert "could not answer" in calls[1].result().json()["error"]
    assert "RuntimeError: /predict" in one.lines and not any("secret" in line for line in one.lines)
    one.close()


# Any body


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=8), inner, max_size=4),
    max_leaves=10,
)
TEXTS = st.lists(st.text(max_size=60) | JSON, max_size=10)
BODIES = st.one_of(
    st.binary(max_size=60),
    JSON.map(lambda value: json.dumps(value).encode()),
    st.fixed_dictionaries(
        {"texts": TEXTS | JSON}, optional={"pairs": TEXTS | JSON, "threshold": st.floats() | JSON, "more": JSON}
    ).map(lambda value: json.dumps(value).encode()),
)
QUICK = settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])


@QUICK
@given(body=BODIES, lang=st.text(st.characters(codec="latin-1", exclude_categories=["Cc"]), max_size=10))
def test_no_body_makes_it_fail(asked, body, lang):
    answer = asked.http.post("/predict", content=body, headers={"Accept-Language": lang.strip().encode("latin-1")})
    assert answer.status_code in (200, 413, 422), answer.text
    assert "Traceback" not in answer.text and ("answers" if answer.status_code == 200 else "error") in answer.json()


@settings(max_examples=40, deadline=None)
@given(
    texts=st.lists(st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=80), min_size=1, max_size=8)
)
def test_answers_to_any_texts_are_those_of_the_predictor(asked, texts):
    texts = [text if text.strip() else "blank" for text in texts]
    assert close_to(asked.ask(texts=texts), asked.service.predictor, texts)


@settings(max_examples=40, deadline=None)
@given(body=st.binary(max_size=80) | st.text(max_size=60).map(lambda text: f"text={text}".encode("utf-8", "replace")))
def test_no_form_makes_the_page_fail(asked, body):
    answer = asked.http.post("/", content=body)
    assert answer.status_code in (200, 413, 422) and "<html" in answer.text and "Traceback" not in answer.text


# The worker


class Slow:
    """A predictor that waits until it may answer, and notes what came together."""

    def __init__(self, model=None):
        self.go, self.batches, self.model, self.threshold = threading.Event(), [], model, 0.5

    def predict(self, texts, pairs=None):
        self.batches.append([*texts])
        assert self.go.wait(20)
        found = np.array([[1 - 1 / (1 + len(text)), 1 / (1 + len(text))] for text in texts])
        return type("Found", (), {"probabilities": found})


def test_what_waits_is_answered_together_and_in_its_place():
    slow = Slow()
    worker = Worker(slow)
    first = worker.ask(["x"])
    while not slow.batches:
        time.sleep(0.001)
    rest = [worker.ask(["y" * (number + 1), "zz"]) for number in range(20)]
    pairs = worker.ask(["y"], ["z"])
    slow.go.set()
    assert first.result(20).shape == (1, 2) and pairs.result(20).shape == (1, 2)
    for number, one in enumerate(rest):
        assert one.result(20)[:, 1].tolist() == [1 / (2 + number), 1 / 3]
    assert [len(batch) for batch in slow.batches] == [1, 40, 1]
    worker.close()
    with pytest.raises(Full):
        worker.ask(["x"])


def test_a_batch_ends_at_a_number_of_tokens_and_a_text_beyond_it_has_one_of_its_own():
    slow = Slow()
    worker = Worker(slow, most=10_000)
    worker.ask(["x"])
    while not slow.batches:
        time.sleep(0.001)
    many = [worker.ask(["y" * 4000]) for _ in range(8)] + [worker.ask(["z" * 40_000])]
    slow.go.set()
    assert all(one.result(20) is not None for one in many)
    assert [len(batch) for batch in slow.batches] == [1, 4, 4, 1]
    worker.close()


def test_when_too_many_wait_the_next_one_is_told_to_come_again(asked):
    slow = Slow(asked.service.predictor.model)
    one = Asked(slow, limits=Limits(waiting=3))
    with ThreadPoolExecutor(3) as pool:
        first = pool.submit(one.ask, texts=["a"])
        while not slow.batches:
            time.sleep(0.001)
        waiting = pool.submit(one.ask, texts=["b", "c"])
        while one.service.worker.texts < 2:
            time.sleep(0.001)
        answer = one.http.post("/predict", json={"texts": ["d", "e"]})
        assert answer.status_code == 503 and answer.headers["Retry-After"] == "1"
        assert "too many texts wait" in answer.json()["error"]
        assert one.http.get("/health").json()["waiting"] == 2
        slow.go.set()
        assert len(first.result()) == 1 and len(waiting.result()) == 2
    one.close()
    assert one.http.get("/health").status_code == 503


# Pages


@pytest.mark.parametrize("lang", LANGS)
def test_the_page_tries_a_sentence_in_each_language_without_anything_from_elsewhere(asked, lang):
    answer = asked.http.post(f"/?lang={lang}", data={"text": "<b>Lovely</b> & good"})
    text = answer.text
    assert f'<html lang="{lang}" dir="{"rtl" if lang == "ar" else "ltr"}">' in text
    words = catalogue(lang, "serve")
    assert words["title"] in text and words["answer"] in text and SCRIPTS[lang](words["title"])
    assert "&lt;b&gt;Lovely&lt;/b&gt; &amp; good" in text and "<b>Lovely" not in text
    assert re.findall(r'(?:src|href|action)="(?!\?lang|/|data:,)', text) == [] and "<script" not in text
    assert "default-src 'none'" in answer.headers["content-security-policy"]
    assert "http://127.0.0.1:8000/predict" in text
    assert asked.http.get(f"/docs?lang={lang}").status_code == 200
    wrong = asked.http.post(f"/?lang={lang}", data={"text": " "})
    assert wrong.status_code == 422 and 'role="alert"' in wrong.text


def test_every_message_is_there_in_each_language():
    first = catalogue("en", "serve")
    for lang in LANGS:
        texts = catalogue(lang, "serve")
        assert [*texts] == [*first]
        assert not {key for key, text in texts.items() if not SCRIPTS[lang](text) and key != "logged"}
        fields = {key: {*re.findall(r"\{\w[^}]*\}", text)} for key, text in texts.items()}
        assert fields == {key: {*re.findall(r"\{\w[^}]*\}", text)} for key, text in first.items()}


@pytest.mark.parametrize("lang", LANGS)
def test_the_description_for_programs_is_whole(asked, lang):
    found = asked.http.get("/openapi.json", headers={"Accept-Language": lang}).json()
    assert found["openapi"] == "3.1.0" and found["servers"] == [{"url": "http://127.0.0.1:8000"}]
    post = found["paths"]["/predict"]["post"]
    question = post["requestBody"]["content"]["application/json"]["schema"]
    assert question["required"] == ["texts"] and question["properties"]["texts"]["maxItems"] == LIMITS.texts
    assert {"200", "403", "408", "413", "422", "503"} == {*post["responses"]} and SCRIPTS[lang](post["summary"])
    answer = post["responses"]["200"]["content"]["application/json"]["schema"]["properties"]["answers"]["items"]
    assert {*answer["properties"]} == {*asked.ask(texts=["Good."])[0]}


def test_a_log_has_no_texts(asked):
    asked.lines.clear()
    asked.ask(texts=["secret one", "two"])
    asked.ask(texts=["secret", 7], status=422)
    asked.http.post("/", data={"text": "secret"})
    asked.http.get("/secret?text=secret")
    asked.http.get("/health?text=secret")
    assert len(asked.lines) == 5 and not any("secret" in line for line in asked.lines)
    assert re.fullmatch(r"\d\d:\d\d:\d\d POST /predict 200, texts: 2, \d+ ms", asked.lines[0])


# Who may ask from where


def test_a_page_of_another_origin_may_not_ask_unless_it_was_allowed(asked):
    assert asked.ask(texts=["a"], headers={"Origin": "http://127.0.0.1:8000"})
    assert "not allowed" in asked.ask(texts=["a"], headers={"Origin": "https://evil.example"}, status=403)
    assert (
        "access-control-allow-origin" not in asked.http.get("/health", headers={"Origin": "https://a.example"}).headers
    )
    one = Asked(asked.service.predictor, origins=["https://a.example"])
    answer = one.http.post("/predict", json={"texts": ["a"]}, headers={"Origin": "https://a.example"})
    assert answer.status_code == 200 and answer.headers["access-control-allow-origin"] == "https://a.example"
    asks = {"Access-Control-Request-Method": "POST", "Access-Control-Request-Headers": "content-type"}
    allowed = one.http.options("/predict", headers={"Origin": "https://a.example", **asks})
    refused = one.http.options("/predict", headers={"Origin": "https://b.example", **asks})
    assert allowed.status_code == 200 and "access-control-allow-origin" not in refused.headers
    one.close()


@pytest.mark.parametrize("origin", ["example.org", "https://", "https://a.example/path", "ftp://a.example"])
def test_an_origin_that_is_none_is_told(tiny, origin):
    with pytest.raises(ValueError, match="is not an origin"):
        check_origins([origin])
    done = CliRunner().invoke(commands, ["serve", tiny, "--origin", origin])
    assert done.exit_code == 2 and "is not an origin" in done.output


def test_hosts_that_only_this_machine_reaches():
    assert all(map(is_local, ("127.0.0.1", "127.1.2.3", "::1", "[::1]", "localhost")))
    assert not any(map(is_local, ("0.0.0.0", "::", "192.168.0.7", "example.org", "")))


def test_a_model_for_single_texts_has_one_field(asked, tmp_path):
    assert pairs_of(tmp_path) is None
    for columns, expected in ((["review", "stars"], False), (["a", "b", "label"], None)):
        (tmp_path / "report.json").write_text(json.dumps({"source": {"columns": columns}}))
        assert pairs_of(tmp_path) is expected
    (tmp_path / "report.json").write_text("[]")
    assert pairs_of(tmp_path) is None
    one = Asked(asked.service.predictor, pairs=False)
    assert 'name="pair"' in asked.http.get("/").text and 'name="pair"' not in one.http.get("/").text
    one.close()


def test_a_model_for_pairs_is_asked_for_pairs_and_one_for_single_texts_for_none(asked):
    for pairs, wrong, said in ((True, {}, "pairs of texts only"), (False, {"pairs": ["B."]}, "single texts only")):
        one = Asked(asked.service.predictor, pairs=pairs)
        assert said in one.ask(texts=["A."], status=422, **wrong)
        words = {one.ask(texts=["A."], status=422, lang=lang, **wrong) for lang in LANGS}
        assert len(words) == len(LANGS)
        page = one.http.post("/", data={"text": "A.", "pair": "".join(wrong.get("pairs", ""))})
        assert page.status_code == 422 and said in page.text
        assert len(one.ask(texts=["A."], **({"pairs": ["B."]} if pairs else {}))) == 1
        one.close()


# The command


class Server:
    """`ftcourse serve` in a process of its own."""

    def __init__(self, model, *words, log: Path):
        self.log = open(log, "w+")  # noqa: SIM115
        command = [sys.executable, "-m", "ftcourse.cli", "serve", str(model), "--port", "0", *words]
        environment = {**os.environ, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1", "PYTHONUTF8": "1"}
        pipes = {"stdout": subprocess.PIPE, "stderr": self.log, "text": True}
        self.process = subprocess.Popen(command, cwd=ROOT, env=environment, **pipes)
        self.said = self.process.stdout.readline()
        self.url = re.search(r"http://[\d.:]+\d", self.said)[0] if "http" in self.said else ""

    def end(self, how=signal.SIGTERM) -> tuple[int, str, str]:
        """End it, and return the exit code, what it said then, and its log."""
        self.process.send_signal(how)
        rest = self.process.communicate(timeout=60)[0]
        self.log.seek(0)
        return self.process.returncode, rest, self.log.read()


@pytest.mark.parametrize("how", [signal.SIGTERM, signal.SIGINT])
def test_when_it_is_told_to_end_it_first_answers_what_was_asked(tiny, tmp_path, how):
    server = Server(tiny, *(["--host", "0.0.0.0"] if how == signal.SIGINT else []), log=tmp_path / "log")
    server.url = f"http://127.0.0.1:{server.url.rpartition(':')[2]}"
    body = {"texts": ["secret and long " * 60] * 256}
    with ThreadPoolExecutor(3) as pool:
        calls = [pool.submit(httpx.post, f"{server.url}/predict", json=body, timeout=60) for _ in range(3)]
        while httpx.get(f"{server.url}/health").json()["waiting"] == 0 and not all(call.done() for call in calls):
            time.sleep(0.005)
        code, said, log = server.end(how)
        assert [len(call.result().json()["answers"]) for call in calls] == [256] * 3
    assert code == 0 and "has stopped" in said and "Traceback" not in log and "secret" not in log
    assert ("There is no login" in log) == (how == signal.SIGINT)


@pytest.mark.parametrize(
    ("words", "code", "expected"),
    [
        (["{tmp}/none"], 2, "no model could be loaded"),
        (["{tiny}", "--threshold", "7"], 2, "threshold is 7"),
        (["{tiny}", "--precision", "8"], 2, "unknown precision '8'"),
        (["{tiny}", "--port", "{taken}"], 1, "cannot listen at 127.0.0.1"),
        (["{tiny}", "--host", "no such host"], 1, "cannot listen at"),
        (["{tiny}", "--lang", "tlh"], 2, "unknown language"),
    ],
)
def test_what_hinders_a_server_is_told(tiny, tmp_path, words, code, expected):
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        sock.listen()
        values = {"tmp": tmp_path, "tiny": tiny, "taken": sock.getsockname()[1]}
        done = CliRunner().invoke(commands, ["serve", *(word.format(**values) for word in words)])
    assert done.exit_code == code and expected in " ".join(re.sub(r"[│╭╮╰╯─]", " ", done.output).split())


def test_without_a_web_server_it_says_how_to_get_one(tiny, monkeypatch):
    monkeypatch.setattr("ftcourse.service.serve.SERVER", ("no_such_module",))
    done = CliRunner().invoke(commands, ["serve", tiny])
    assert done.exit_code == 1 and 'pip install "ftcourse[serve]"' in done.output


# Many at once


def soak(model, log: Path, seconds: float) -> Heard:
    """50 clients with texts of mixed lengths: every answer is there, and no error is."""
    predictor, server = Predictor(model), Server(model, log=log)
    known = {}

    def check(texts: list[str], content: dict) -> bool:
        if len(known) < 20:  # the others have only to be there
            known[tuple(texts)] = close_to(content["answers"], predictor, texts)
        return all(0 <= answer["probability"] <= 1 for answer in content["answers"])

    heard = asyncio.run(all_clients(server.url, 50, seconds, check))
    assert heard.wrong == [] and len(heard.milliseconds) > 50 and len(known) == 20
    health = httpx.get(f"{server.url}/health").json()
    assert health["status"] == "ok" and health["waiting"] == 0
    code, _, log = server.end()
    assert code == 0 and "Error" not in log and log.count("POST /predict 200") == len(heard.milliseconds)
    return heard


def test_fifty_clients_for_a_moment(tiny, tmp_path):
    soak(tiny, tmp_path / "log", 3)


@pytest.mark.long
def test_fifty_clients_for_five_minutes(tmp_path):
    from ftcourse.kit import Kit

    soak(Kit().model("stars"), tmp_path / "log", 300)
