"""The Hub in the room, asked by the real libraries in processes of their own, cut off, filled up and killed."""

import base64
import hashlib
import json
import os
import random
import re
import shutil
import signal
import socket
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from threading import Event, Thread
from urllib.parse import urlsplit

import httpx
import psutil
import pytest
from safetensors.numpy import load_file
from typer.testing import CliRunner

from conftest import GUARD
from ftcourse import cli
from ftcourse.engine.assets import ASSETS, INDEX, shards
from ftcourse.engine.checks import LANGS
from ftcourse.engine.fetch import NOT_IN_KIT
from ftcourse.engine.hub import choose_source, set_offline
from ftcourse.engine.messages import catalogue
from ftcourse.kit import HUB
from ftcourse.room import background, start_hub
from ftcourse.room.names import Refusal, check_name, check_path
from ftcourse.room.pages import as_html
from ftcourse.room.people import People
from ftcourse.room.serve import serve
from ftcourse.room.server import Hub
from ftcourse.room.shelf import ALSO, Shelf, split_card
from ftcourse.room.storage import Store
from tools.settings import ROOT

TOKEN = "maha:blue7"


class Room:
    """A Hub for tests: clients in processes of their own, cut off from all but this machine, and plain requests."""

    def __init__(self, hub, folder):
        self.hub, self.folder = hub, folder
        self.http = httpx.Client(base_url=hub.url, timeout=60)
        (folder / "site").mkdir(exist_ok=True)
        (folder / "site" / "sitecustomize.py").write_text(GUARD)

    def client(self, script, token=TOKEN, start=(sys.executable, "-c"), code=0):
        """What a client prints."""
        environment = {name: value for name, value in os.environ.items() if not name.startswith(("HF_", "FTCOURSE"))}
        environment |= self.hub.settings | {"HF_TOKEN": token, "HF_HOME": str(self.folder / "home")}
        environment |= {"PYTHONPATH": str(self.folder / "site"), "NETWORK_LOG": str(self.folder / "network.log")}
        environment |= {"OMP_NUM_THREADS": "1", "HF_HUB_DISABLE_PROGRESS_BARS": "1"}
        words = [script] if isinstance(script, str) else script
        done = subprocess.run(
            [*start, *words], env=environment, cwd=self.folder, capture_output=True, text=True, timeout=300
        )
        assert done.returncode == code, done.stdout + done.stderr
        return done.stdout + (done.stderr if code else "")

    def ask(self, method, path, status=200, token=TOKEN, **more):
        """The answer to a plain request."""
        headers = {"Authorization": f"Bearer {token}"} if token else {}
        answer = self.http.request(method, path, headers=headers, **more)
        assert answer.status_code == status, answer.text
        return answer

    def send(self, repo, content, status=200, size=None):
        """Send large content as the clients do, and return its hash."""
        sha256 = hashlib.sha256(content).hexdigest()
        asked = {"operation": "upload", "objects": [{"oid": sha256, "size": size or len(content)}]}
        found = self.ask("POST", f"/{repo}.git/info/lfs/objects/batch", json=asked).json()["objects"][0]
        if "actions" in found:
            answer = self.http.put(urlsplit(found["actions"]["upload"]["href"]).path, content=content)
            assert answer.status_code == status, answer.text
        return sha256

    def commit(self, repo, files=None, large=None, status=200, token=TOKEN, **head):
        """Commit small files by content and large ones by hash."""
        lines = [{"key": "header", "value": {"summary": "test", **head}}]
        for path, content in (files or {}).items():
            value = {"path": path, "content": base64.b64encode(content).decode(), "encoding": "base64"}
            lines.append({"key": "file", "value": value})
        for path, sha256 in (large or {}).items():
            lines.append({"key": "lfsFile", "value": {"path": path, "algo": "sha256", "oid": sha256, "size": 0}})
        body = "\n".join(map(json.dumps, lines))
        return self.ask("POST", f"/api/models/{repo}/commit/main", status, token, content=body.encode()).json()

    def new(self, name):
        """A new repository of the tests' own person."""
        self.ask("POST", "/api/repos/create", json={"name": name})
        return f"maha/{name}"


@pytest.fixture(scope="module")
def room(tmp_path_factory):
    folder = tmp_path_factory.mktemp("room")
    with start_hub(folder / "hub", token=TOKEN) as hub:
        yield Room(hub, folder)


# The real clients

LIBRARY = """
import os
from huggingface_hub import *
from huggingface_hub.utils import *

api = HfApi()
login("maha:blue7")
assert api.whoami()["name"] == "maha"
assert api.create_repo("first").repo_id == "maha/first" == api.create_repo("first", exist_ok=True).repo_id
big = os.urandom(3_000_000)
open("big.bin", "wb").write(big)
os.makedirs("folder/data", exist_ok=True)
for name in ("a.txt", "data/b c.txt", "data/ج.txt"):
    open(f"folder/{name}", "w").write(name)
api.upload_file(path_or_fileobj=b"# One", path_in_repo="README.md", repo_id="maha/first")
api.upload_file(path_or_fileobj="big.bin", path_in_repo="w/big.bin", repo_id="maha/first")
api.upload_folder(folder_path="folder", repo_id="maha/first")
assert len(api.list_repo_commits("maha/first")) == 4
before = api.model_info("maha/first").sha
api.create_tag("maha/first", tag="v1")
api.create_branch("maha/first", branch="feature/x", revision=before[:7])
operations = [
    CommitOperationAdd("new.txt", b"new"), CommitOperationDelete("a.txt"), CommitOperationDelete("data/"),
    CommitOperationCopy("w/big.bin", "copy.bin"),
]
info = api.create_commit("maha/first", operations, commit_message="m", revision="feature/x", parent_commit=before)
assert info.oid in info.commit_url and info.repo_url.repo_id == "maha/first"
assert sorted(api.list_repo_files("maha/first", revision="feature/x")) == [
    "README.md", "copy.bin", "new.txt", "w/big.bin"
]
assert {"a.txt", "data/b c.txt", "data/ج.txt"} < set(api.list_repo_files("maha/first", revision="v1"))
assert [ref.name for ref in api.list_repo_refs("maha/first").branches] == ["main", "feature/x"]
assert [item.path for item in api.list_repo_tree("maha/first", "data")] == ["data/b c.txt", "data/ج.txt"]
assert {item.path for item in api.get_paths_info("maha/first", ["w", "a.txt", "no"])} == {"w", "a.txt"}
assert open(hf_hub_download("maha/first", "w/big.bin"), "rb").read() == big
snapshot = snapshot_download("maha/first", revision="feature/x")
assert open(f"{snapshot}/copy.bin", "rb").read() == big
assert api.verify_repo_checksums("maha/first", revision="feature/x", local_dir=snapshot).mismatches == []
with HfFileSystem().open("maha/first/w/big.bin") as file:
    file.seek(1_000_000)
    assert file.read(5) == big[1_000_000:1_000_005]
assert [model.id for model in api.list_models(author="maha")] == ["maha/first"]
assert any(model.id == "google-bert/bert-base-cased" for model in api.list_models(search="BERT-base"))
assert api.file_exists("maha/first", "a.txt") and not api.file_exists("maha/first", "zz")
ModelCard("# Two").push_to_hub("maha/first")
api.delete_tag("maha/first", tag="v1")
api.delete_branch("maha/first", branch="feature/x")
api.delete_file("a.txt", "maha/first")
assert len(api.list_repo_refs("maha/first").branches) == 1 and not api.list_repo_refs("maha/first").tags

def said(call, *arguments, **named):
    try:
        call(*arguments, **named)
    except Exception as error:
        print(type(error).__name__, " ".join(str(error).split()))
    else:
        print("nothing was refused")

stale = [CommitOperationAdd("x.txt", b"x")]
said(hf_hub_download, "maha/first", "nope")
said(hf_hub_download, "maha/first", "README.md", revision="nope")
said(hf_hub_download, "maha/nope", "README.md")
said(api.create_commit, "maha/first", stale, commit_message="m", parent_commit=before)
said(api.upload_file, path_or_fileobj=b"x", path_in_repo="x", repo_id="google-bert/bert-base-cased")
said(api.create_repo, "ali/mine")
said(api.create_repo, "secret", private=True)
said(HfApi(token="maha:guessed").create_repo, "other")
said(HfApi(token="hf_abcdefghijklmnop").whoami)
said(HfApi(token=False).create_repo, "ali/other")
said(api.create_pull_request, "maha/first", title="x")
api.delete_repo("maha/first")
assert not api.repo_exists("maha/first")
said(api.delete_repo, "maha/first")
"""


def test_the_hub_library_does_all_it_can(room):
    said = room.client(LIBRARY).splitlines()
    expected = [
        ("RemoteEntryNotFoundError", "no file 'nope'"),
        ("RevisionNotFoundError", "no revision 'nope'; expected a branch, a tag or a commit: main"),
        ("RepositoryNotFoundError", "there is no 'maha/nope' in this room"),
        ("HfHubHTTPError", "somebody has pushed in the meantime"),
        ("HfHubHTTPError", "you are 'maha', and 'google-bert/bert-base-cased' belongs to 'google-bert'"),
        ("HfHubHTTPError", "push under your own name: maha/"),
        ("BadRequestError", "no private repositories"),
        ("HfHubHTTPError", "the name 'maha' belongs to somebody who came with another secret"),
        ("HfHubHTTPError", "token of the real Hugging Face Hub; never send that"),
        ("HfHubHTTPError", "writing needs a token, and none was given"),
        ("HfHubHTTPError", "cannot do this: POST"),
        ("RepositoryNotFoundError", "there is no 'maha/first'"),
    ]
    assert len(said) == len(expected), said
    for line, (kind, words) in zip(said, expected, strict=True):
        assert line.startswith(kind) and words in line, line


TUTORIAL = """
import warnings
warnings.simplefilter("ignore")
import evaluate
from datasets import Dataset, DatasetDict, load_dataset
from transformers import AutoModelForSequenceClassification, AutoTokenizer, Trainer, TrainingArguments, pipeline

data = load_dataset("Yelp/yelp_review_full")
assert data["train"].num_rows == 5000 and data["train"].column_names == ["label", "text"]
assert load_dataset("Yelp/yelp_review_full", "ar", split="test[:1]")[0]["text"] > "\\u0600"
assert load_dataset("nyu-mll/glue", "mrpc", split="validation").column_names[:2] == ["sentence1", "sentence2"]
assert next(iter(load_dataset("stanfordnlp/imdb", split="train", streaming=True)))["label"] in (0, 1)

accuracy = evaluate.load("accuracy")
assert evaluate.load("f1").compute(predictions=[1, 0], references=[1, 1])["f1"] > 0.6
assert set(evaluate.load("glue", "mrpc").compute(predictions=[1], references=[1])) == {"accuracy", "f1"}
try:
    evaluate.load("glue", "sst2")
except KeyError as error:
    assert "only the part 'mrpc' of glue" in str(error)
else:
    raise AssertionError("the metric of another task was given")

assert pipeline("sentiment-analysis")("I loved it")[0]["label"] == "POSITIVE"
assert pipeline(model="nlptown/bert-base-multilingual-uncased-sentiment")("Terrible")[0]["label"] == "1 star"
assert pipeline("text-generation", model="gpt2")("The soup", max_new_tokens=3)

tokenizer = AutoTokenizer.from_pretrained("google-bert/bert-base-cased")
model = AutoModelForSequenceClassification.from_pretrained("google-bert/bert-base-cased", num_labels=5)
assert "from the kit of ftcourse" in model.config.ftcourse_note
rows = data["train"].select(range(16)).map(
    lambda batch: tokenizer(batch["text"], padding="max_length", truncation=True, max_length=16), batched=True
)

def compute_metrics(prediction):
    return accuracy.compute(predictions=prediction.predictions.argmax(-1), references=prediction.label_ids)

arguments = TrainingArguments(
    "my-reviews", push_to_hub=True, eval_strategy="epoch", save_strategy="epoch", num_train_epochs=1, report_to="none",
    disable_tqdm=True,
)
trainer = Trainer(
    model=model, args=arguments, train_dataset=rows, eval_dataset=rows, compute_metrics=compute_metrics,
    processing_class=tokenizer,
)
trainer.train()
assert "/maha/my-reviews/commit/" in trainer.push_to_hub(dataset="Yelp/yelp_review_full").commit_url
text = "Good soup"
mine = pipeline(model="maha/my-reviews")(text)[0]
there = trainer.model.eval()(**tokenizer(text, return_tensors="pt")).logits.softmax(-1).max().item()
assert abs(mine["score"] - there) < 1e-4

model.push_to_hub("second", commit_message="second model")
tokenizer.push_to_hub("second")
again = AutoModelForSequenceClassification.from_pretrained("maha/second")
assert all((a == b).all() for a, b in zip(again.state_dict().values(), model.state_dict().values()))

DatasetDict({"train": Dataset.from_dict({"text": ["a", "b"]}), "test": Dataset.from_dict({"text": ["c"]})}).push_to_hub(
    "maha/rows"
)
Dataset.from_dict({"text": ["d"]}).push_to_hub("maha/rows", config_name="other", split="test")
assert load_dataset("maha/rows")["train"]["text"][:] == ["a", "b"]
assert load_dataset("maha/rows", "other", split="test")["text"][:] == ["d"]
"""


def test_a_tutorial_runs_unchanged(room):
    room.client(TUTORIAL)
    card = room.ask("GET", "/maha/my-reviews/raw/main/README.md").text
    assert "base_model: google-bert/bert-base-cased" in card and "Accuracy" in card
    asked = {line for line in (room.folder / "network.log").read_text().splitlines() if "127.0.0.1" not in line}
    assert asked == set()


def test_the_hf_command(room):
    hf = (str(Path(sys.executable).with_name("hf")),)
    assert "maha" in room.client(["auth", "login", "--token", TOKEN], start=hf, token="") + room.client(
        ["auth", "whoami"], start=hf, token=""
    )
    (room.folder / "up").mkdir()
    (room.folder / "up" / "notes.txt").write_text("by the command line")
    said = room.client(["upload", "maha/by-hand", "up"], start=hf, token="")
    assert f"{room.hub.url}/maha/by-hand" in said
    said = room.client(["download", "maha/by-hand", "--local-dir", "down"], start=hf, token="")
    assert (room.folder / "down" / "notes.txt").read_text() == "by the command line"
    (room.folder / "home" / "token").unlink()


# What is on the shelf

SERVED = {place for name, places in HUB["model"].items() if name not in NOT_IN_KIT for place in places.values()}


def test_the_kit_is_served_whole_and_says_what_it_is(room):
    assert len(SERVED) >= 7
    for repo_id in sorted(SERVED) + list(ALSO):
        config = room.ask("GET", f"/{repo_id}/resolve/main/config.json").json()
        card = room.ask("GET", f"/{repo_id}/raw/main/README.md").text
        assert repo_id in config["ftcourse_note"] and "from the kit of ftcourse" in config["ftcourse_note"]
        assert split_card(card)[1].startswith("> This is ") and repo_id in split_card(card)[1].splitlines()[0]
        files = room.ask("GET", f"/api/models/{repo_id}/tree/main").json()
        assert [item["path"] for item in files if "safetensors" in item["path"]] == ["model.safetensors"]
    weights = room.ask(
        "GET", "/nlptown/bert-base-multilingual-uncased-sentiment/resolve/main/model.safetensors"
    ).content
    (room.folder / "whole.safetensors").write_bytes(weights)
    places = json.loads((ASSETS / "models/stars" / INDEX).read_text())["weight_map"]
    parts = {path: load_file(path) for path in shards(ASSETS / "models/stars")}
    whole = load_file(room.folder / "whole.safetensors")
    assert set(whole) == set(places) and len(parts) > 1
    for name, place in places.items():
        assert (whole[name] == parts[(ASSETS / "models/stars" / place).resolve()][name]).all()


def test_the_language_of_the_hub_is_the_default(tmp_path):
    shelf = Shelf(Store(tmp_path), "ar")

    def defaults(repo_id):
        repo = shelf.find("datasets", repo_id)
        files = repo.commit(repo.resolve("main"))["files"]
        text = shelf.store.blob(files["README.md"]["sha256"]).read_text(encoding="utf-8")
        data, text = split_card(text)
        assert text.startswith(f"> {shelf.item(repo).note('ar')}")
        assert {entry["path"] for config in data["configs"] for entry in config["data_files"]} <= set(files)
        return [config["config_name"] for config in data["configs"] if config.get("default")], data["configs"]

    assert defaults("Yelp/yelp_review_full")[0] == ["ar"]
    assert defaults("SetFit/amazon_reviews_multi_zh")[0] == ["zh"]  # which stands in for a Chinese data set
    default, configs = defaults("nyu-mll/glue")
    by_name = {config["config_name"]: config["data_files"] for config in configs}
    assert default == ["ar"] and set(by_name) == {*LANGS, "mrpc"} and by_name["mrpc"] == by_name["ar"]
    old = shelf.find("models", "gpt2").resolve("main")
    assert Shelf(shelf.store, "ar").find("models", "openai-community/gpt2").resolve("main") == old
    assert Shelf(shelf.store, "zh").find("models", "gpt2").resolve("main") != old


def test_what_a_teacher_puts_into_the_folder_is_served(tmp_path):
    place = tmp_path / "models/school/tiny"
    place.mkdir(parents=True)
    (place / "README.md").write_text("# Tiny")
    (tmp_path / "datasets/مدرسة/rows").mkdir(parents=True)
    (tmp_path / "models/google-bert/bert-base-cased").mkdir(parents=True)

    def head():
        hub = Hub(tmp_path)
        assert {key.split("/")[1]: refusal.key for key, refusal in hub.left_out.items()} == {
            "google-bert": "reserved",
            "مدرسة": "name",
        }
        repo = hub.shelf.find("models", "school/tiny")
        with pytest.raises(Refusal, match="reserved"):
            hub.people.name_of("school:secret")
        return repo.resolve("main"), set(repo.commit(repo.resolve("main"))["files"])

    oid, files = head()
    assert files == {"README.md"} and head()[0] == oid
    (place / "README.md").rename(place / "other.md")
    assert head()[1] == {"other.md"}


# Bad input


@pytest.mark.parametrize(
    "name", ["..", "a..b", "-a", "a.", "موديل", "模型", "a b", "a/b", "", "con", "x" * 97, "a.git"]
)
def test_odd_names_are_refused(room, name):
    with pytest.raises(Refusal, match="name"):
        check_name(name)
    answer = room.ask("POST", "/api/repos/create", 400, json={"name": name})
    assert repr(name) in answer.json()["error"] or "/" in name
    assert dict(answer.headers.raw)[b"X-Error-Message".lower()].decode() == answer.json()["error"]


PATHS = ["../x", "a/../../x", "/etc/passwd", "a//b", "a\\b", ".git/config", "a/./b", "", "C:x", "a\nb", "x" * 1001]


def test_no_path_leaves_the_folder(room):
    repo = room.new("paths")
    for path in PATHS:
        with pytest.raises(Refusal, match="path"):
            check_path(path)
        assert "path of a file" in room.commit(repo, {path: b"x"}, status=400)["error"]
    for path in ("..%2F..%2Frepo.json", "%2e%2e/repo.json", "..\\repo.json"):
        room.ask("GET", f"/{repo}/resolve/main/{path}", 404)
        assert room.http.get(f"/{path}/x/resolve/main/repo.json").status_code in (400, 404)
    assert "file and a folder" in room.commit(repo, {"a": b"x", "a/b": b"x"}, status=400)["error"]
    assert room.ask("GET", f"/api/models/{repo}/tree/main").json() == []


def test_a_token_writes_under_its_own_name_only(room, tmp_path):
    assert room.ask("GET", "/api/whoami-v2", 403, token="ali:x").json()["error"].startswith("this is not a token")
    assert "only the example" in room.ask("GET", "/api/whoami-v2", 403, token="name:secret").json()["error"]
    assert "Yelp" in room.ask("GET", "/api/whoami-v2", 403, token="Yelp:secret").json()["error"]
    arabic = room.http.get("/api/whoami-v2", headers={"Authorization": "Bearer مها:secret".encode()})
    assert arabic.status_code == 400 and arabic.json()["error"].startswith("'مها' cannot be a name here")
    repo = room.new("guarded")
    for method, path, more in (
        ("POST", f"/api/models/{repo}/commit/main", {"content": b""}),
        ("POST", f"/api/models/{repo}/preupload/main", {"json": {}}),
        ("POST", f"/api/models/{repo}/branch/b", {"json": {}}),
        ("POST", f"/api/models/{repo}/tag/main", {"json": {"tag": "t"}}),
        ("POST", f"/{repo}.git/info/lfs/objects/batch", {"json": {"operation": "upload"}}),
    ):
        assert "belongs to 'maha'" in room.ask(method, path, 403, token="ali:green8", **more).json()["error"]
        room.ask(method, path, 401, token="", **more)
    body = json.dumps({"organization": "maha", "name": "guarded"}).encode()
    assert (
        "belongs to" in room.ask("DELETE", "/api/repos/delete", 403, token="ali:green8", content=body).json()["error"]
    )
    given = People(tmp_path, ["sara:1234"])
    assert given.name_of("sara:1234") == "sara"
    for token, key in (("sara:4321", "token_unknown"), ("ali:1234", "token_unknown"), ("Sara:1234", "token_unknown")):
        with pytest.raises(Refusal, match=key):
            given.name_of(token)
    assert "blue7" not in (room.folder / "hub/.hub/people/maha.json").read_text()


def test_messages_are_there_in_every_language():
    for lang in LANGS:
        texts = catalogue(lang, "room")
        assert set(texts) == set(catalogue("en", "room"))
        assert lang == "en" or not [
            key for key, text in texts.items() if text == catalogue("en", "room")[key] and len(text) > 12
        ]
    source = "".join(path.read_text() for path in (ROOT / "ftcourse/room").glob("*.py"))
    keys = [key.removeprefix("error.") for key in catalogue("en", "room")]
    assert [key for key in keys if not re.search(rf"""['"](error\.)?{key}['"]""", source)] == []


def test_an_error_is_in_the_readers_language(room):
    answer = room.http.get("/api/models/maha/none", headers={"Accept-Language": "ar-EG,ar;q=0.9"})
    assert answer.json()["error"] == Refusal("no_repo", given="maha/none").words("ar")
    assert dict(answer.headers.raw)[b"x-error-message"].decode() == answer.json()["error"]
    assert answer.headers["X-Error-Code"] == "RepoNotFound"


# Ranges, interruptions, a full disk


def test_ranges_are_answered(room):
    repo, content = room.new("ranges"), random.Random(0).randbytes(2_500_000)
    room.commit(repo, large={"a.bin": room.send(repo, content)})
    address = f"/{repo}/resolve/main/a.bin"
    answer = room.http.get(address, headers={"Range": "bytes=1000000-1000009"})
    assert (answer.status_code, answer.content) == (206, content[1_000_000:1_000_010])
    assert answer.headers["Content-Range"] == f"bytes 1000000-1000009/{len(content)}"
    rest = room.http.get(address, headers={"Range": "bytes=2499999-"})
    assert (rest.status_code, rest.content) == (206, content[-1:])
    assert room.http.get(address, headers={"Range": "bytes=9999999-"}).status_code == 416
    head = room.http.head(address)
    assert head.headers["Content-Length"] == "2500000" and len(head.headers["X-Repo-Commit"]) == 40
    assert head.headers["ETag"] == f'"{hashlib.sha256(content).hexdigest()}"'


def half_sent(room, repo, content):
    """The address of an upload, after half of it was sent and the line broke."""
    asked = {"operation": "upload", "objects": [{"oid": hashlib.sha256(content).hexdigest(), "size": len(content)}]}
    batch = room.ask("POST", f"/{repo}.git/info/lfs/objects/batch", json=asked).json()
    href = urlsplit(batch["objects"][0]["actions"]["upload"]["href"])
    with socket.create_connection((href.hostname, href.port)) as line:
        head = f"PUT {href.path} HTTP/1.1\r\nHost: {href.netloc}\r\nContent-Length: {len(content)}\r\n\r\n"
        line.sendall(head.encode() + content[: len(content) // 2])
        time.sleep(0.3)
    return href.path


def test_a_client_that_is_cut_off_can_push_again(room):
    repo, content = room.new("cut"), random.Random(1).randbytes(4_000_000)
    store = Store(room.folder / "hub/.hub")
    sha256 = hashlib.sha256(content).hexdigest()
    path = half_sent(room, repo, content)
    deadline = time.monotonic() + 10
    while list(store.incoming.iterdir()):
        assert time.monotonic() < deadline
        time.sleep(0.05)
    assert not store.has(sha256, len(content))
    assert "not arrived" in room.commit(repo, large={"a.bin": sha256}, status=422)["error"]
    answer = room.http.put(path, content=content[:-1] + bytes([content[-1] ^ 1]))
    assert answer.status_code == 400 and "not the file that was announced" in answer.json()["error"]
    forged = path[:-1] + ("0" if path[-1] != "0" else "1")
    assert "too old or altered" in room.http.put(forged, content=content).json()["error"]
    room.send(repo, content)
    room.commit(repo, large={"a.bin": sha256})
    assert room.http.get(f"/{repo}/resolve/main/a.bin").content == content


FULL_DISK = """
import resource, sys
resource.setrlimit(resource.RLIMIT_FSIZE, (1_000_000, 1_000_000))
from ftcourse.room.serve import main
main()
"""


@pytest.mark.skipif(os.name == "nt", reason="there is no such limit")
def test_a_disk_that_fills_up_serves_nothing_half_written(room, tmp_path):
    command = [sys.executable, "-c", FULL_DISK, str(tmp_path / "hub"), "en", "0"]
    process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    url = process.stdout.readline().strip()
    limited = Room(type(room.hub)(url, TOKEN, room.hub.settings | {"HF_ENDPOINT": url}, process), tmp_path)
    try:
        said = limited.client(
            "from huggingface_hub import HfApi; api = HfApi(); api.create_repo('big')\n"
            "api.upload_file(path_or_fileobj=b'x' * 3_000_000, path_in_repo='a.bin', repo_id='maha/big')",
            code=1,
        )
        assert "507" in said and "is full; nothing of this push was kept" in said
        wide = {f"{number}.txt": b"x" * 900_000 for number in range(2)}
        limited.commit("maha/big", wide)
        assert limited.commit("maha/big", {"c.txt": b"y" * 1_100_000}, status=507)["error"]
        store = Store(tmp_path / "hub/.hub")
        assert not list(store.incoming.iterdir())
        assert {path.stat().st_size for path in store.blobs.glob("*/*")} == {900_000}
        assert len(limited.ask("GET", "/api/models/maha/big/tree/main").json()) == 2
    finally:
        limited.hub.stop()


# Many at once, and killed

MANY = """
import hashlib, os, sys
from huggingface_hub import HfApi, hf_hub_download
number, clients, size = map(int, sys.argv[1:])
api, content = HfApi(), os.urandom(size)
api.create_repo("everybody", exist_ok=True)
api.create_repo(f"own-{number}")
for repo in ("maha/everybody", f"maha/own-{number}"):
    api.upload_file(path_or_fileobj=content, path_in_repo=f"{number}.bin", repo_id=repo)
    path = hf_hub_download(repo, f"{number}.bin", cache_dir=f"cache-{number}")
    assert open(path, "rb").read() == content
print(hashlib.sha256(content).hexdigest())
"""


def push_and_pull(tmp_path, clients, size):
    """Let clients push to one repository and to one of their own at once, and pull; nothing may be lost."""
    with start_hub(tmp_path / "hub", token=TOKEN) as hub:
        room = Room(hub, tmp_path)
        with ThreadPoolExecutor(clients) as pool:
            call = [str(clients), str(size)]
            said = list(pool.map(lambda number: room.client([MANY, str(number), *call]), range(clients)))
        held = room.ask("GET", "/api/models/maha/everybody/tree/main").json()
        assert {item["path"]: item["lfs"]["oid"] for item in held} == {
            f"{number}.bin": line.strip() for number, line in enumerate(said)
        }
        assert len(room.ask("GET", "/api/models/maha/everybody/commits/main").json()) == clients + 1
    store = Store(tmp_path / "hub/.hub")
    for path in store.blobs.glob("*/*"):
        assert hashlib.sha256(path.read_bytes()).hexdigest() == path.name


def test_clients_push_and_pull_at_once(tmp_path):
    push_and_pull(tmp_path, clients=4, size=2_000_000)


@pytest.mark.long
def test_twenty_clients_push_and_pull_50_mb_at_once(tmp_path):
    push_and_pull(tmp_path, clients=20, size=50_000_000)
    shutil.rmtree(tmp_path)  # 3 GB


def kill_often(tmp_path, kills, seed):
    """Kill a server at random moments while commits arrive; each one that was acknowledged must be there afterwards."""
    random_numbers, told, stop = random.Random(seed), {}, Event()

    def push(room, name):
        while not stop.is_set():
            number = len(told)
            path, content = f"{name}-{number}.bin", os.urandom(random_numbers.choice((10, 200_000)))
            try:
                if number % 2:
                    answer = room.commit("maha/killed", large={path: room.send("maha/killed", content)})
                else:
                    answer = room.commit("maha/killed", {path: content})
                told[path] = (answer["commitOid"], content)
            except (httpx.TransportError, AssertionError) as error:
                assert isinstance(error, httpx.TransportError) or stop.is_set(), error

    for _ in range(kills + 1):
        hub = start_hub(tmp_path / "hub", token=TOKEN)
        room = Room(hub, tmp_path)
        if room.http.get("/api/models/maha/killed").status_code == 404:
            room.new("killed")
        history = {item["id"] for item in room.ask("GET", "/api/models/maha/killed/commits/main").json()}
        assert {oid for oid, _ in told.values()} <= history
        before, stop = len(told), Event()
        threads = [Thread(target=push, args=(Room(hub, tmp_path), name)) for name in "ab"]
        for thread in threads:
            thread.start()
        time.sleep(random_numbers.uniform(0.1, 0.9))
        stop.set() if len(told) == before else None
        hub.process.kill()
        stop.set()
        for thread in threads:
            thread.join()
        hub.stop()
    with start_hub(tmp_path / "hub", token=TOKEN) as hub:
        room = Room(hub, tmp_path)
        for path, (oid, content) in told.items():
            assert room.http.get(f"/maha/killed/resolve/{oid}/{path}").content == content
            assert room.http.get(f"/maha/killed/resolve/main/{path}").content == content
    return told


def test_a_killed_server_loses_no_acknowledged_commit(tmp_path):
    assert len(kill_often(tmp_path, kills=3, seed=0)) >= 5


@pytest.mark.long
def test_a_server_killed_twenty_times_loses_no_acknowledged_commit(tmp_path):
    assert len(kill_often(tmp_path, kills=20, seed=1)) >= 50


def test_what_a_kill_leaves_behind_is_swept(tmp_path):
    store = Store(tmp_path)
    repo = store.create("models", "maha/x", "maha")
    store.commit(repo, {"a": store.keep_bytes(b"named")}, author="maha", title="a")
    old, fresh = (store.keep_bytes(text) for text in (b"old", b"fresh"))
    os.utime(store.blob(old["sha256"]), (0, 0))
    os.utime(store.blob(repo.commit(repo.resolve("main"))["files"]["a"]["sha256"]), (0, 0))
    store.part().write_bytes(b"half")
    store.sweep()
    assert not store.has(old["sha256"], 3) and store.has(fresh["sha256"], 5)
    assert len(list(store.blobs.glob("*/*"))) == 2 and not list(store.incoming.iterdir())


def test_one_server_a_folder_and_an_address(tmp_path, room):
    with pytest.raises(OSError, match="another Hub is serving the folder"):
        serve(room.folder / "hub", port=0, ready=lambda hub, port: None)
    with pytest.raises(RuntimeError, match="cannot listen at 127.0.0.1"):
        start_hub(tmp_path, port=urlsplit(room.hub.url).port)


def test_a_notebook_that_is_run_again_finds_its_hub_and_its_name(tmp_path):
    with start_hub(tmp_path) as first:
        assert start_hub(tmp_path) is first
        Room(first, tmp_path).ask("POST", "/api/repos/create", token=first.token, json={"name": "mine"})
    with start_hub(tmp_path) as second:
        assert second.process.pid != first.process.pid and second.token == first.token
        answer = Room(second, tmp_path).ask(
            "DELETE", "/api/repos/delete", token=second.token, content=b'{"name": "mine"}'
        )
        assert answer.json() == {}
    assert first.process.poll() == second.process.poll() == 0


def wait_for_end(pid):
    """Wait until a process has ended that is another's child."""
    for _ in range(200):
        if not psutil.pid_exists(pid) or psutil.Process(pid).status() == psutil.STATUS_ZOMBIE:
            return
        time.sleep(0.1)
    raise AssertionError("the Hub outlived its notebook")


def test_a_hub_without_a_folder_takes_it_away_when_the_notebook_ends():
    script = """
import os, signal
from ftcourse.room import start_hub
hub = start_hub(token="maha:blue7")
assert start_hub(token="maha:blue7") is hub
print(hub.process.pid, hub.settings["HF_HOME"], flush=True)
try:
    signal.signal(signal.SIGINT, signal.default_int_handler)
    os.killpg(0, signal.SIGINT)
except KeyboardInterrupt:
    print(hub.process.poll(), flush=True)
"""
    command = [sys.executable, "-c", script]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=60, start_new_session=True)
    pid, home, state = done.stdout.split()
    assert state == "None", "an interrupt of the notebook's cell ended the Hub"
    assert Path(home).parent.name.startswith("ftcourse-hub-")
    wait_for_end(int(pid))
    assert not Path(home).parent.exists()


def test_a_hub_ends_when_its_notebook_is_killed(tmp_path):
    script = (
        "from ftcourse.room import start_hub; import sys, time; hub = start_hub(sys.argv[1]); print(hub.process.pid)"
    )
    command = [sys.executable, "-uc", f"{script}; time.sleep(60)", str(tmp_path)]
    with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True) as notebook:
        pid = int(notebook.stdout.readline())
        notebook.kill()
    wait_for_end(pid)
    assert tmp_path.exists()


def test_a_proxy_does_not_stand_between_a_notebook_and_its_hub(tmp_path, monkeypatch):
    monkeypatch.setenv("HTTP_PROXY", "http://127.0.0.1:9")
    monkeypatch.setenv("no_proxy", "example.org")
    with start_hub(tmp_path) as hub:
        with pytest.raises(httpx.ConnectError):
            httpx.get(hub.url)
        for name, value in hub.settings.items():
            monkeypatch.setenv(name, value)
        assert httpx.get(hub.url, timeout=60).status_code == 200 and "example.org" in os.environ["NO_PROXY"]


# Pages and the command


def test_pages_list_and_show_in_the_readers_language(room):
    repo = room.new("page")
    card = b"---\nlicense: mit\n---\n# A <script>alert(1)</script>\n\n[x](javascript:alert(1)) ![p](p.png)\n"
    card += b"<!-- hidden -->\n| a |\n|-|\n| b |"
    room.commit(repo, {"README.md": card, "p.png": b"x", "evil.html": b"<script>alert(1)</script>"})
    english, arabic = (room.http.get("/", headers={"Accept-Language": lang}).text for lang in ("en-GB", "ar"))
    assert (
        'lang="en" dir="ltr"' in english and f'href="/{repo}"' in english and "google-bert/bert-base-cased" in english
    )
    assert 'lang="ar" dir="rtl"' in arabic and catalogue("ar", "room")["about"] in arabic
    assert 'lang="zh-Hant"' in room.http.get("/", headers={"Accept-Language": "zh-TW,zh;q=0.9"}).text
    assert 'lang="zh" dir' in room.http.get("/?lang=zh", headers={"Accept-Language": "ar"}).text
    page = room.http.get(f"/{repo}")
    assert "<script" not in page.text and "javascript:" not in page.text.replace("[x](javascript:alert(1))", "")
    assert (
        "/resolve/" in page.text
        and "<table" in page.text
        and "default-src 'none'" in page.headers["Content-Security-Policy"]
    )
    raw = room.http.get(f"/{repo}/resolve/main/evil.html").headers
    assert raw["Content-Type"].startswith("text/plain") and raw["Content-Security-Policy"].startswith("sandbox")
    for path in ("google-bert/bert-base-cased", "datasets/nyu-mll/glue", "spaces/evaluate-metric/f1"):
        assert "kit" in room.http.get(f"/{path}?lang=en").text
        assert "عُدّة" in room.http.get(f"/{path}?lang=ar").text
    assert repo in room.http.get("/maha").text and "Yelp" not in room.http.get("/maha").text
    lost = room.http.get("/maha/none", headers={"Accept": "text/html", "Accept-Language": "zh"})
    assert lost.status_code == 404 and "这间教室里没有" in lost.text and "<html" in lost.text


BOMB = "\n".join(["a0: &a0 [x]", *(f"a{n}: &a{n} [{f'*a{n - 1},' * 9}]" for n in range(1, 9)), "tags: *a8"])
CARDS = [
    "tags: a",
    "2020-01-01: x",
    "loss: .nan",
    "tags: [[1], null]",
    "date: 2020-13-45",
    BOMB,
    "[" * 3000,
    "- 1",
    "\t: [",
    "a: &x [*x]",
    f"a: 0x{'f' * 4000}",
]
CONFIGS = ["[]", "{", '{"architectures": 1}', '{"architectures": []}', '{"a": NaN}', "[" * 100_000, "\ud800"]
CONFIGS += ['{"model_type": 1e999}', '{"model_type": "\\ud800"}']


def test_no_card_and_no_configuration_breaks_a_page(room):
    repo = room.new("nasty")
    for number, card in enumerate(CARDS):
        config = CONFIGS[number % len(CONFIGS)].encode("utf-8", "surrogatepass")
        room.commit(repo, {"README.md": f"---\n{card}\n---\n# {'> ' * 500}*x".encode(), "config.json": config})
        assert room.ask("GET", f"/api/models/{repo}").json()["id"] == repo
        assert room.http.get(f"/{repo}").status_code == room.http.get("/maha?search=nasty").status_code == 200
    assert split_card("---\na: &x [1]\nb: *x\n---\n")[0]["b"] == [1]


@pytest.mark.skipif(os.name == "nt", reason="a signal ends it there in another way")
def test_the_command_prints_settings_that_work(tmp_path):
    command = [sys.executable, "-m", "ftcourse.cli", "hub", "--folder", str(tmp_path / "hub"), "--port", "0"]
    command += ["--lang", "ar", "--token", "maha:blue7"]
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "PYTHONUTF8": "1"}
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, env=environment)
    try:
        lines = []
        while sum("HF_UPDATE_DOWNLOAD_COUNTS" in line for line in lines) < 3:
            lines.append(process.stdout.readline())
            assert lines[-1], lines
        assert catalogue("ar", "cli")["hub_closed"].split("{")[0] in "".join(lines) and "maha" in "".join(lines)
        python = [line for line in lines if line.startswith(("import os", "os.environ"))]
        bash = [line for line in lines if line.startswith("export ")]
        power = [line for line in lines if line.startswith("$env:")]
        assert len(python) == 7 and len(bash) == len(power) == 6
        script = "".join(python) + "print(*(os.environ[name] for name in ('HF_ENDPOINT', 'HF_HOME')))"
        said = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True).stdout.split()
        shell = "".join(bash) + 'echo "$HF_ENDPOINT" "$HF_HOME"'
        assert subprocess.run(["bash", "-c", shell], capture_output=True, text=True, check=True).stdout.split() == said
        url, home = said
        assert home == str(Path.home() / "ftcourse-room") and ".cache" not in home
        answer = httpx.get(f"{url}/api/whoami-v2", headers={"Authorization": "Bearer maha:blue7"})
        assert answer.json()["name"] == "maha"
        process.send_signal(signal.SIGINT)
        assert catalogue("ar", "cli")["hub_stopped"].split("{")[0] in process.communicate(timeout=20)[0]
        assert process.returncode == 0
    finally:
        process.kill()
        process.wait()
        process.stdout.close()


def test_the_command_says_what_it_needs(monkeypatch, tmp_path):
    monkeypatch.setattr(background, "find_spec", lambda module: None)
    result = CliRunner().invoke(cli.app, ["hub", "--folder", str(tmp_path)])
    assert result.exit_code == 1 and 'pip install "ftcourse[hub]"' in result.output


def test_starting_a_hub_imports_nothing_that_reads_its_settings():
    script = "import ftcourse.room, sys; print(*{'huggingface_hub', 'datasets', 'transformers'} & set(sys.modules))"
    done = subprocess.run([sys.executable, "-c", script], cwd=ROOT, capture_output=True, text=True, check=True)
    assert done.stdout.split() == []


def test_a_wrong_token_ends_the_command(tmp_path):
    for token, words in (("blue7", "NAME:SECRET"), ("hf_abc", "real Hugging Face Hub"), ("مها:blue7", "Latin letters")):
        result = CliRunner().invoke(cli.app, ["hub", "--folder", str(tmp_path), "--port", "0", "--token", token])
        assert result.exit_code == 2 and words in result.output


@pytest.mark.parametrize("endpoint, offline", [("http://127.0.0.1:1", "0"), ("https://huggingface.co", "1"), ("", "1")])
def test_the_kit_leaves_a_hub_in_the_room_reachable(monkeypatch, endpoint, offline):
    monkeypatch.setenv("HF_ENDPOINT", endpoint)
    try:
        choose_source("kit")
        assert os.environ["HF_HUB_OFFLINE"] == offline
    finally:
        set_offline(True)


def test_a_card_that_is_long_or_full_of_comments_keeps_nobody_waiting(room):
    repo = room.new("long")
    room.commit(repo, {"README.md": ("---\nlicense: mit\n---\n" + "<!--" * 40_000).encode()})
    assert room.http.get(f"/{repo}").status_code == 200
    assert room.ask("GET", f"/api/models/{repo}").json()["cardData"] == {"license": "mit"}
    room.commit(repo, {"README.md": ("---\nlicense: mit\n---\n" + "a" * 200_000).encode()})
    assert room.ask("GET", f"/api/models/{repo}").json()["cardData"] == {}
    assert as_html("a <!-- b --> c <!-- d", "/") == '<p dir="auto">a  c &lt;!-- d</p>\n'
