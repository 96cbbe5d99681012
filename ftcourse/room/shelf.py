"""What lies on the shelf before anybody pushes: the kit, under its counterparts' names, and the teacher's folders.

The kit's repositories are prepared when they are first asked for, and say plainly what they are.
"""

import hashlib
import json
import re
from collections.abc import Callable, Iterator
from copy import deepcopy
from dataclasses import dataclass
from pathlib import Path
from shutil import copytree, ignore_patterns, rmtree
from threading import Lock

import yaml

from ftcourse.engine.assets import check_folder, export_model, manifest
from ftcourse.engine.checks import LANGS
from ftcourse.engine.fetch import NOT_IN_KIT
from ftcourse.engine.messages import message
from ftcourse.kit import HUB
from ftcourse.room.names import KINDS, Refusal, check_path, check_repo_id
from ftcourse.room.storage import Repo, Store

KIT = "ftcourse"  # who puts the kit on the shelf; and the namespace of what has no counterpart
FOLDERS = {"model": "models", "dataset": "datasets", "metric": "spaces"}
PLACES = {"model": "models", "dataset": "data", "metric": "metrics"}
# Names that tutorials begin with, beside those that `Kit` leads to.
ALSO = {
    "google-bert/bert-base-uncased": "encoder",
    "distilbert/distilbert-base-uncased": "encoder",
    "distilbert/distilbert-base-cased": "encoder",
}
MOST_ALIASES = 20
COMMIT = re.compile("[0-9a-f]{7,40}")
CARD = re.compile(r"---\n(?P<data>.*?)\n---\n(?P<text>.*)", re.S)


@dataclass(frozen=True)
class Item:
    """A model, data set or metric of the kit, and the name that it is served under."""

    what: str  # model, dataset or metric
    name: str  # in the kit
    id: str
    config: str = ""  # the configuration or the part that a tutorial names beside it
    langs: tuple[str, ...] = LANGS  # those that it stands in for

    @property
    def kind(self) -> str:
        """The kind of its repository."""
        return FOLDERS[self.what]

    def note(self, lang: str, key: str = "kit_note") -> str:
        """What it is, in a sentence; with the key "kit_config", one that stays true of what is made from it."""
        key = "kit_own" if self.id.startswith(f"{KIT}/") else key
        return message(lang, "room", key, name=self.name, id=self.id)


def kit_items() -> dict[tuple[str, str], Item]:
    """What the kit has, by kind and name of the repository.

    >>> kit_items()["models", "google-bert/bert-base-cased"].name
    'encoder'
    """
    items = []
    for what, entries in HUB.items():
        for name, counterparts in entries.items():
            if what == "model" and name in NOT_IN_KIT:
                continue
            for key, place in (counterparts or {"*": (f"{KIT}/{name}",)}).items():
                repo_id, *config = (place,) if isinstance(place, str) else place
                repo_id = repo_id if "/" in repo_id else f"evaluate-{what}/{repo_id}"
                langs = tuple(lang for lang in LANGS if key in ("*", lang.removesuffix("-Hant")))
                items.append(Item(what, name, repo_id, *config[:1] or [""], langs))
    items += [Item("model", name, repo_id) for repo_id, name in ALSO.items()]
    return {(item.kind, item.id): item for item in items}


class CardLoader(yaml.SafeLoader):
    """YAML with few aliases: with many, a short card can stand for an endless one."""

    aliases = 0

    def compose_node(self, parent, index):
        self.aliases += self.check_event(yaml.AliasEvent)
        if self.aliases > MOST_ALIASES:
            raise yaml.YAMLError
        return super().compose_node(parent, index)


def split_card(text: str) -> tuple[dict, str]:
    """The data at the head of a card, and its text.

    >>> split_card("---\\nlicense: mit\\n---\\n# A model")
    ({'license': 'mit'}, '# A model')
    """
    found = CARD.fullmatch(text.replace("\r\n", "\n"))
    try:
        data = yaml.load(found["data"], CardLoader) if found else {}
    except (yaml.YAMLError, ValueError, RecursionError):
        data = {}
    return (data if isinstance(data, dict) else {}), (found["text"] if found else text)


def join_card(data: dict, text: str) -> str:
    """A card of data and text.

    >>> join_card({"license": "mit"}, "# A model")
    '---\\nlicense: mit\\n---\\n# A model'
    """
    return f"---\n{yaml.safe_dump(data, sort_keys=False, allow_unicode=True)}---\n{text}" if data else text


def with_default(data: dict, item: Item, lang: str) -> dict:
    """A data set's card where the language is the default, and where a tutorial's configuration leads to it, too.

    >>> card = {"configs": [{"config_name": "en", "data_files": []}, {"config_name": "ar", "data_files": []}]}
    >>> item = Item("dataset", "pairs", "a/b", "mrpc")
    >>> [config["config_name"] for config in with_default(card, item, "ar")["configs"]]
    ['en', 'ar', 'mrpc']
    """
    lang = lang if lang in item.langs else item.langs[0]
    configs = [dict(config, default=True) if config["config_name"] == lang else config for config in data["configs"]]
    if item.config not in ("", *LANGS):
        chosen = next(config for config in configs if config.get("default"))
        configs.append({"config_name": item.config, "data_files": deepcopy(chosen["data_files"])})
    return data | {"configs": configs}


def write_model(item: Item, folder: Path, lang: str) -> None:
    """A model of the kit, whole, whose configuration says what it is."""
    export_model(item.name, folder)
    config = json.loads((folder / "config.json").read_text(encoding="utf-8"))
    config |= {"ftcourse_note": item.note(lang, "kit_config")}
    (folder / "config.json").write_text(json.dumps(config, indent=2, ensure_ascii=False), encoding="utf-8")


def write_dataset(item: Item, folder: Path, lang: str) -> None:
    """A data set of the kit in all its languages."""
    copytree(check_folder(f"data/{item.name}"), folder)
    data, text = split_card((folder / "README.md").read_text(encoding="utf-8"))
    (folder / "README.md").write_text(join_card(with_default(data, item, lang), text), encoding="utf-8")


def write_metric(item: Item, folder: Path, lang: str) -> None:
    """A metric of the kit, as the module that `evaluate.load` looks for; one that knows only a part says so."""
    copytree(check_folder(f"metrics/{item.name}"), folder, ignore=ignore_patterns("__*"))
    code = (folder / f"{item.name}.py").read_text(encoding="utf-8")
    (folder / f"{item.name}.py").unlink()
    name, head = item.id.split("/")[1], "    def _info(self):\n"
    if item.config:
        told = message(lang, "room", "only_part", name=name, part=item.config)
        check = f"        if self.config_name != {item.config!r}:\n            raise KeyError({told!r})\n"
        code = code.replace(head, head + check, 1)
    (folder / f"{name}.py").write_text(code, encoding="utf-8")
    (folder / "README.md").write_text(f"# {name}\n", encoding="utf-8")


WRITERS: dict[str, Callable[[Item, Path, str], None]] = {
    "model": write_model,
    "dataset": write_dataset,
    "metric": write_metric,
}


class Shelf:
    """The kit's repositories in a store, in a language; each is prepared when it is first looked for.

    >>> from tempfile import TemporaryDirectory
    >>> with TemporaryDirectory() as folder:
    ...     shelf = Shelf(Store(Path(folder)), "ar")
    ...     repo = shelf.find("spaces", "evaluate-metric/f1")
    ...     sorted(repo.commit(repo.resolve("main"))["files"])
    ['README.md', 'f1.py']
    """

    def __init__(self, store: Store, lang: str):
        self.store, self.lang, self.items, self.ready, self.lock = store, lang, kit_items(), set(), Lock()
        self.aliases = {(kind, repo_id.split("/")[1]): repo_id for kind, repo_id in self.items}
        self.owners = {repo_id.split("/")[0] for _, repo_id in self.items}

    def find(self, kind: str, repo_id: str) -> Repo:
        """The repository, of the kit or pushed, under its name or the short one of old; or else a `Refusal`."""
        repo_id = self.aliases.get((kind, repo_id), repo_id)
        item = self.items.get((kind, repo_id))
        repo = (item and self.prepare(item)) or ("/" in repo_id and self.store.find(kind, repo_id))
        if not repo:
            raise Refusal("no_repo", 404, "RepoNotFound", given=repo_id)
        return repo

    def item(self, repo: Repo) -> Item | None:
        """What of the kit a repository holds, or None."""
        return self.items.get((repo.kind, repo.id))

    def resolve(self, repo: Repo, revision: str) -> str:
        """The commit of a revision. The kit has one version of everything: what names a commit elsewhere means that."""
        try:
            return repo.resolve(revision)
        except Refusal:
            if self.item(repo) and COMMIT.fullmatch(revision):
                return repo.resolve("main")
            raise

    def list(self, kind: str) -> list[Repo]:
        """All repositories of a kind, those of the kit among them."""
        for item in self.items.values():
            if item.kind == kind:
                self.prepare(item)
        return self.store.list(kind)

    def prepare(self, item: Item) -> Repo:
        """The repository of an item, made or renewed where the kit or the language is another than when it was made."""
        with self.lock:
            repo = self.store.find(item.kind, item.id)
            if repo and item in self.ready:
                return repo
            notes = [item.note(self.lang), item.note(self.lang, "kit_config")]
            parts = [json.dumps(manifest(), sort_keys=True), repr(item), *notes, self.lang]
            made_from = hashlib.sha256("\n".join(parts).encode()).hexdigest()
            repo = repo or self.store.create(item.kind, item.id, KIT)
            if repo.state().get("made_from") != made_from:
                work = self.store.part()
                try:
                    work.mkdir()
                    folder = work / item.name
                    WRITERS[item.what](item, folder, self.lang)
                    data, text = split_card((folder / "README.md").read_text(encoding="utf-8"))
                    card = join_card(data, f"> {item.note(self.lang)}\n\n{text}")
                    (folder / "README.md").write_text(card, encoding="utf-8")
                    put(self.store, repo, folder, KIT, made_from)
                finally:
                    rmtree(work, ignore_errors=True)
            self.ready.add(item)
            return repo


def files_in(folder: Path) -> Iterator[tuple[str, Path]]:
    """The files of a folder with their paths in it, hidden ones left out."""
    for path in sorted(folder.rglob("*")):
        name = path.relative_to(folder).as_posix()
        if path.is_file() and not any(part.startswith((".", "__pycache__")) for part in name.split("/")):
            yield name, path


def put(store: Store, repo: Repo, folder: Path, author: str, made_from: str) -> None:
    """Make the files of a folder all that a repository holds."""
    added = {check_path(name): store.keep_file(path) for name, path in files_in(folder)}
    store.commit(repo, added, author=author, title=folder.name, whole=True, made_from=made_from)


def put_folders(store: Store, folder: Path, shelf: Shelf) -> tuple[list[str], dict[str, Refusal]]:
    """Take in what a teacher has put into `models/OWNER/NAME`, `datasets/…`, `spaces/…` as plain folders.

    Returns the names of their owners, and what was left out and why. A folder that has not changed is not read again.
    """
    owners, left_out = [], {}
    for kind in KINDS:
        for path in sorted((folder / kind).glob("*/*/")):
            repo_id = f"{path.parent.name}/{path.name}"
            stamps = [(name, file.stat().st_size, file.stat().st_mtime_ns) for name, file in files_in(path)]
            made_from = hashlib.sha256(json.dumps(stamps).encode()).hexdigest()
            try:
                if path.parent.name in shelf.owners:
                    raise Refusal("reserved", given=path.parent.name)
                repo = store.find(kind, check_repo_id(repo_id)) or store.create(kind, repo_id, path.parent.name)
                owners.append(path.parent.name)
                if repo.state().get("made_from") != made_from:
                    put(store, repo, path, path.parent.name, made_from)
            except Refusal as refusal:
                left_out[f"{kind}/{repo_id}"] = refusal
    return owners, left_out
