"""The protocol of the Hugging Face Hub, as far as its libraries ask for it in a classroom."""

import base64
import binascii
import hashlib
import hmac
import inspect
import json
import os
import time
from collections.abc import AsyncIterator, Callable
from contextlib import suppress
from functools import partial
from math import isfinite
from mimetypes import guess_type
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, quote, unquote

from starlette.applications import Starlette
from starlette.concurrency import run_in_threadpool
from starlette.convertors import Convertor, register_url_convertor
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect, Request
from starlette.responses import FileResponse, HTMLResponse, JSONResponse, RedirectResponse, Response
from starlette.routing import Route

from ftcourse.room import pages
from ftcourse.room.frame import HEADERS, reader_lang
from ftcourse.room.names import KINDS, Refusal, check_name, check_path
from ftcourse.room.people import People
from ftcourse.room.shelf import Shelf, put_folders, split_card
from ftcourse.room.storage import MAIN, Repo, Store, disk_full_told, entry_for, is_large

CHUNK_BYTES = 1 << 20
JSON_BYTES = 16_000_000  # of a request, or of one line of a commit
CARD_BYTES = 200_000  # of a card that is read for each page which names its repository
TICKET_SECONDS = 24 * 3600
PAGE_SIZE = 1000
# The task that a model's architecture is made for, where its card names none.
TASKS = {
    "ForSequenceClassification": "text-classification",
    "ForTokenClassification": "token-classification",
    "ForQuestionAnswering": "question-answering",
    "ForMaskedLM": "fill-mask",
    "ForPreTraining": "fill-mask",
    "ForCausalLM": "text-generation",
    "LMHeadModel": "text-generation",
    "ForConditionalGeneration": "text2text-generation",
    "ForCTC": "automatic-speech-recognition",
    "ForImageClassification": "image-classification",
    "ForAudioClassification": "audio-classification",
}


class Part(Convertor):
    """A part of an address, which arrives as it was sent: only here its %2F becomes a slash."""

    def __init__(self, regex: str):
        self.regex = regex

    def convert(self, value: str) -> str:
        return unquote(value)

    def to_string(self, value: str) -> str:
        return quote(value, safe="/")


register_url_convertor("kind", Part("|".join(KINDS)))
register_url_convertor("repo", Part("[^/]+(?:/[^/]+)?"))
register_url_convertor("part", Part("[^/]+"))
register_url_convertor("rest", Part(".*"))


class Content(FileResponse):
    """A file sent in larger pieces; ranges are answered with 206."""

    chunk_size = CHUNK_BYTES


async def read_body(request: Request) -> bytes:
    """The body of a request; a `Refusal` where it is too long."""
    body = bytearray()
    async for chunk in request.stream():
        body += chunk
        if len(body) > JSON_BYTES:
            raise Refusal("too_long", 413, limit=JSON_BYTES)
    return bytes(body)


async def read_json(request: Request) -> dict:
    """The body of a request; a `Refusal` where it is no JSON object, or too long."""
    try:
        value = json.loads(await read_body(request) or b"{}")
    except ValueError:
        value = None
    if not isinstance(value, dict):
        raise Refusal("no_json")
    return value


async def read_lines(request: Request) -> AsyncIterator[dict]:
    """The lines of a request, each a JSON object; a `Refusal` for one that is none, or too long."""
    rest = b""
    async for chunk in request.stream():
        *lines, rest = (rest + chunk).split(b"\n")
        for line in filter(None, lines):
            yield as_item(line)
        if len(rest) > JSON_BYTES:
            raise Refusal("too_long", 413, limit=JSON_BYTES)
    if rest:
        yield as_item(rest)


def as_item(line: bytes) -> dict:
    """One line of a commit: a `key` and a `value`."""
    try:
        item = json.loads(line)
        if isinstance(item["key"], str) and isinstance(item["value"], dict):
            return item
    except (ValueError, KeyError, TypeError):
        pass
    raise Refusal("no_json")


class Hub:
    """What the routes share: the store, the shelf, who may write, and the language of messages."""

    def __init__(self, folder: Path, lang: str = "en", tokens: tuple[str, ...] = ()):
        inner = folder / ".hub"
        self.folder, self.lang = folder, lang
        self.store = Store(inner)
        self.store.sweep()
        self.shelf = Shelf(self.store, lang)
        owners, self.left_out = put_folders(self.store, folder, self.shelf)
        self.people = People(inner / "people", tokens, {*self.shelf.owners, *owners})
        self.key = os.urandom(32)

    # Who and what

    def person(self, request: Request) -> str:
        """Who is asking; a `Refusal` without a token, or with one that is nobody's."""
        scheme, _, token = request.headers.get("authorization", "").partition(" ")
        if scheme.lower() != "bearer" or not token.strip():
            raise Refusal("no_token", 401)
        return self.people.name_of(token.strip().encode("latin-1").decode("utf-8", "replace"))

    def writer(self, request: Request, repo_id: str) -> str:
        """Who is asking, where they may write to this repository; or else a `Refusal`."""
        person = self.person(request)
        owner = repo_id.split("/")[0]
        if owner != person:
            raise Refusal("not_yours", 403, given=repo_id, person=person, owner=owner)
        return person

    def repo(self, request: Request) -> Repo:
        """The repository of an address."""
        return self.shelf.find(request.path_params.get("kind", "models"), request.path_params["repo"])

    def ticket(self, sha256: str, size: int) -> str:
        """The end of an address to which content of this hash may be sent for a day: clients send no token there."""
        until = int(time.time()) + TICKET_SECONDS
        return f"{sha256}/{size}/{until}/{self.sign(sha256, size, until)}"

    def sign(self, sha256: str, size: int, until: int) -> str:
        """What only this server can have written under a ticket."""
        return hmac.new(self.key, f"{sha256}/{size}/{until}".encode(), hashlib.sha256).hexdigest()

    # Reading

    def info(self, repo: Repo, oid: str, blobs: bool = False) -> dict:
        """What clients want to know of a repository at a commit."""
        state, commit = repo.state(), repo.commit(oid)
        data, _ = split_card(self.text(commit, "README.md", CARD_BYTES))
        try:
            data = plain(json.dumps(data, default=str, skipkeys=True))
        except (ValueError, RecursionError):  # a card that holds itself, or a number that no page can hold
            data = {}
        tags = data.get("tags")
        info = {
            "id": repo.id,
            "author": repo.id.split("/")[0],
            "sha": oid,
            "private": False,
            "gated": False,
            "disabled": False,
            "downloads": 0,
            "likes": 0,
            "tags": [str(tag) for tag in tags] if isinstance(tags, list) else [],
            "createdAt": state["created"],
            "lastModified": commit["date"],
            "cardData": data,
            "siblings": [sibling(path, entry, blobs) for path, entry in sorted(commit["files"].items())],
        }
        return info | (self.model_info(commit, data) if repo.kind == "models" else {})

    def model_info(self, commit: dict, data: dict) -> dict:
        """Which library a model is for, and which task."""
        config = plain(self.text(commit, "config.json") or "{}")
        names = config.get("architectures")
        name = str(names[0]) if isinstance(names, list) and names else ""
        task = next((task for end, task in TASKS.items() if name.endswith(end)), None)
        library = data.get("library_name") or ("transformers" if "model_type" in config else None)
        short = {key: config[key] for key in ("architectures", "model_type") if key in config}
        return {"pipeline_tag": data.get("pipeline_tag") or task, "library_name": library, "config": short}

    def text(self, commit: dict, path: str, most: int = JSON_BYTES) -> str:
        """The text of a small file in a commit; empty where there is none."""
        entry = commit["files"].get(path)
        if not entry or entry["size"] > most:
            return ""
        return self.store.blob(entry["sha256"]).read_text(encoding="utf-8", errors="replace")

    def listed(self, kind: str, query: dict[str, str]) -> list[dict]:
        """The repositories of a kind that a query asks for, those that changed last first."""
        words, author = query.get("search", "").lower(), query.get("author")
        found = [repo for repo in self.shelf.list(kind) if words in repo.id.lower()]
        infos = [self.info(repo, repo.resolve(MAIN)) for repo in found if author in (None, repo.id.split("/")[0])]
        if task := query.get("pipeline_tag"):
            infos = [info for info in infos if info.get("pipeline_tag") == task]
        infos.sort(key=lambda info: info["lastModified"], reverse=True)
        limit = query.get("limit", "")
        return infos[: int(limit)] if limit.isdigit() else infos

    # Writing

    async def take(self, request: Request, sha256: str, size: int) -> None:
        """Keep the body of a request, where it is what was announced: nothing of it stays where it is not."""
        part, digest, done, stream = self.store.part(), hashlib.sha256(), 0, request.stream()

        def write(file: Any, chunk: bytes) -> None:
            with disk_full_told():
                file.write(chunk)
                file.flush()
            digest.update(chunk)

        try:
            self.store.check_space(size)
            with open(part, "wb") as file:
                waiting = bytearray()
                async for chunk in stream:
                    waiting += chunk
                    done += len(chunk)
                    if done > size:
                        break
                    if len(waiting) >= CHUNK_BYTES:
                        await run_in_threadpool(write, file, bytes(waiting))
                        waiting.clear()
                await run_in_threadpool(write, file, bytes(waiting))
            if done != size or digest.hexdigest() != sha256:
                raise Refusal("other_content", 400, size=size, got=done)
            await run_in_threadpool(self.store.keep, part, sha256)
        except Refusal:
            with suppress(ClientDisconnect):  # a client reads the answer when it has sent all
                async for _ in stream:
                    pass
            raise
        finally:
            part.unlink(missing_ok=True)


def finite(text: str) -> float | None:
    """A number of JSON; None for one that is too large.

    >>> finite("0.5"), finite("1e999")
    (0.5, None)
    """
    return number if isfinite(number := float(text)) else None


def plain(text: str) -> dict:
    """A JSON object that every client can read: without NaN. Empty where the text, which anybody may push, is none.

    >>> plain('{"loss": NaN, "size": 1e999}'), plain("[1]"), plain("{")
    ({'loss': None, 'size': None}, {}, {})
    """
    try:
        value = json.loads(text, parse_constant=lambda name: None, parse_float=finite)
        if "\\ud" in text.lower():  # maybe half a letter, which no answer can hold
            value = json.loads(json.dumps(value, ensure_ascii=False).encode("utf-8", "replace"))
    except (ValueError, RecursionError):
        return {}
    return value if isinstance(value, dict) else {}


def sibling(path: str, entry: dict, blobs: bool) -> dict:
    """A file as `model_info` and the like tell of it."""
    found = {"rfilename": path}
    if blobs:
        found |= {"size": entry["size"], "blobId": entry["oid"]}
        if "pointer" in entry:
            found["lfs"] = {"size": entry["size"], "sha256": entry["sha256"], "pointerSize": entry["pointer"]}
    return found


def content_id(entry: dict) -> str:
    """What clients tell a file's content by: the hash of a large one, what git calls a small one."""
    return entry["sha256"] if "pointer" in entry else entry["oid"]


def tree_item(path: str, entry: dict) -> dict:
    """A file as listings tell of it."""
    item = {"type": "file", "oid": entry["oid"], "size": entry["size"], "path": path}
    if "pointer" in entry:
        item["lfs"] = {"oid": entry["sha256"], "size": entry["size"], "pointerSize": entry["pointer"]}
    return item


def folder_item(path: str, files: dict) -> dict:
    """A folder as listings tell of it."""
    inside = sorted((name, entry["oid"]) for name, entry in files.items() if name.startswith(f"{path}/"))
    oid = hashlib.sha1(json.dumps(inside).encode(), usedforsecurity=False).hexdigest()
    return {"type": "directory", "oid": oid, "size": 0, "path": path}


def tree_items(files: dict, folder: str, recursive: bool) -> list[dict]:
    """What lies in a folder of a commit; a `Refusal` where there is no such folder.

    >>> tree_items({"a/b/c": {"oid": "1", "size": 1}, "d": {"oid": "2", "size": 1}}, "", False)[0]["path"]
    'a'
    """
    begin = f"{folder}/" if folder else ""
    inside = {name: entry for name, entry in files.items() if name.startswith(begin)}
    if folder and not inside:
        raise Refusal("no_file", 404, "EntryNotFound", path=folder)
    names = {name[len(begin) :] for name in inside}
    folders = {name[:place] for name in names for place, letter in enumerate(name) if letter == "/"}
    wanted = sorted(name for name in names | folders if recursive or "/" not in name)
    return [
        folder_item(begin + name, inside) if name in folders else tree_item(begin + name, inside[begin + name])
        for name in wanted
    ]


# The routes. Those that only read are plain functions, which run in threads.


def whoami(hub: Hub, request: Request) -> Response:
    name = hub.person(request)
    token = {"displayName": name, "role": "write"}
    auth = {"type": "access_token", "accessToken": token}
    return JSONResponse({"type": "user", "id": name, "name": name, "fullname": name, "orgs": [], "auth": auth})


def list_repos(hub: Hub, request: Request) -> Response:
    return JSONResponse(hub.listed(request.path_params["kind"], dict(request.query_params)))


def repo_info(hub: Hub, request: Request) -> Response:
    repo = hub.repo(request)
    oid = hub.shelf.resolve(repo, request.path_params.get("rev", MAIN))
    return JSONResponse(hub.info(repo, oid, blobs="blobs" in request.query_params))


def auth_check(hub: Hub, request: Request) -> Response:
    hub.repo(request)
    return JSONResponse({})


def tree(hub: Hub, request: Request) -> Response:
    repo = hub.repo(request)
    oid = hub.shelf.resolve(repo, request.path_params["rev"])
    recursive = request.query_params.get("recursive", "").lower() in ("true", "1")
    items = tree_items(repo.commit(oid)["files"], request.path_params.get("path", "").strip("/"), recursive)
    start = request.query_params.get("cursor", "0")
    start = int(start) if start.isdigit() else 0
    response = JSONResponse(items[start : start + PAGE_SIZE])
    if start + PAGE_SIZE < len(items):
        following = request.url.include_query_params(cursor=start + PAGE_SIZE)
        response.headers["Link"] = f'<{following}>; rel="next"'
    return response


async def paths_info(hub: Hub, request: Request) -> Response:
    if "json" in request.headers.get("content-type", ""):
        paths = (await read_json(request)).get("paths", [])
    else:
        paths = parse_qs((await read_body(request)).decode("utf-8", "replace")).get("paths", [])
    paths = [path.strip("/") for path in ([paths] if isinstance(paths, str) else paths)]

    def answer() -> list[dict]:
        repo = hub.repo(request)
        files = repo.commit(hub.shelf.resolve(repo, request.path_params["rev"]))["files"]
        found = [tree_item(path, files[path]) for path in paths if path in files]
        folders = [path for path in paths if any(name.startswith(f"{path}/") for name in files)]
        return found + [folder_item(path, files) for path in folders]

    return JSONResponse(await run_in_threadpool(answer))


def refs(hub: Hub, request: Request) -> Response:
    state = hub.repo(request).state()
    found = {"converts": [], "pullRequests": []}
    for kind, begin in (("branches", "refs/heads/"), ("tags", "refs/tags/")):
        found[kind] = [{"name": name, "ref": begin + name, "targetCommit": oid} for name, oid in state[kind].items()]
    return JSONResponse(found)


def commits(hub: Hub, request: Request) -> Response:
    repo = hub.repo(request)
    return JSONResponse(
        [
            {
                "id": oid,
                "title": commit["title"],
                "message": commit["description"],
                "date": commit["date"],
                "authors": [{"user": commit["author"]}],
            }
            for oid, commit in repo.history(hub.shelf.resolve(repo, request.path_params["rev"]))
        ]
    )


def resolve(hub: Hub, request: Request) -> Response:
    repo, path = hub.repo(request), request.path_params["path"]
    oid = hub.shelf.resolve(repo, request.path_params["rev"])
    entry = repo.commit(oid)["files"].get(path)
    if entry is None:
        raise Refusal("no_file", 404, "EntryNotFound", path=path, commit=oid)
    media = guess_type(path)[0] or "application/octet-stream"
    media = media if media.startswith(("image/", "audio/", "text/")) else "application/octet-stream"
    headers = {
        "ETag": f'"{content_id(entry)}"',
        "X-Repo-Commit": oid,
        # What learners push is shown by browsers as a picture or as text, and never run.
        "Content-Security-Policy": "sandbox; default-src 'none'",
        "X-Content-Type-Options": "nosniff",
    }
    media = "text/plain; charset=utf-8" if media.startswith("text/") else media
    return Content(hub.store.blob(entry["sha256"]), headers=headers, media_type=media)


async def create_repo(hub: Hub, request: Request) -> Response:
    asked = await read_json(request)
    return await run_in_threadpool(create_asked, hub, request, asked)


def repo_asked(hub: Hub, request: Request, asked: dict) -> tuple[str, str]:
    """Kind and name of the repository that a request names, by default one of whoever asks; or else a `Refusal`."""
    kind = f"{asked.get('type') or 'model'}s"
    if kind not in KINDS:
        raise Refusal("kind", given=asked["type"])
    person = hub.person(request)
    return kind, f"{asked.get('organization') or person}/{asked.get('name') or ''}"


def create_asked(hub: Hub, request: Request, asked: dict) -> Response:
    kind, repo_id = repo_asked(hub, request, asked)
    url = address(request, kind, repo_id)
    if asked.get("private") is True or asked.get("visibility") == "private":
        raise Refusal("private")
    for part in repo_id.split("/", 1):
        check_name(part)
    try:
        if (kind, repo_id) in hub.shelf.items:
            raise Refusal("repo_exists", 409, given=repo_id)
        hub.store.create(kind, repo_id, hub.writer(request, repo_id))
    except Refusal as refusal:
        if refusal.key != "repo_exists":
            raise
        return refused(hub, request, refusal, url=url, id=repo_id)  # clients with exist_ok go on with the address
    return JSONResponse({"url": url, "id": repo_id, "name": repo_id})


async def delete_repo(hub: Hub, request: Request) -> Response:
    asked = await read_json(request)

    def delete() -> None:
        kind, repo_id = repo_asked(hub, request, asked)
        repo = hub.shelf.find(kind, repo_id)
        hub.writer(request, repo_id)
        hub.store.delete(repo)

    await run_in_threadpool(delete)
    return JSONResponse({})


async def validate_yaml(hub: Hub, request: Request) -> Response:
    await read_json(request)
    return JSONResponse({"errors": [], "warnings": []})


async def preupload(hub: Hub, request: Request) -> Response:
    refuse_pull_requests(request)
    asked = await read_json(request)

    def answer() -> list[dict]:
        repo = hub.repo(request)
        hub.writer(request, repo.id)
        held = repo.commit(repo.resolve(request.path_params["rev"]))["files"]
        return [upload_mode(file, held) for file in asked.get("files", [])]

    return JSONResponse({"files": await run_in_threadpool(answer)})


def upload_mode(file: dict, held: dict) -> dict:
    """How a file is to be sent, and what the repository has under its name."""
    path, size = check_path(file.get("path")), int(file.get("size") or 0)
    try:
        sample = base64.b64decode(file.get("sample") or "")
    except (binascii.Error, ValueError):
        sample = b""
    mode = "lfs" if is_large(path, size, sample) else "regular"
    entry = held.get(path)
    return {"path": path, "uploadMode": mode, "shouldIgnore": False, "oid": entry and content_id(entry)}


def refuse_pull_requests(request: Request) -> None:
    """A `Refusal` where a pull request is wanted."""
    if request.query_params.get("create_pr"):
        raise Refusal("pull_request")


async def lfs_batch(hub: Hub, request: Request) -> Response:
    asked = await read_json(request)

    def answer() -> list[dict]:
        repo = hub.repo(request)
        upload = asked.get("operation") == "upload"
        if upload:
            hub.writer(request, repo.id)
        objects = []
        for item in asked.get("objects", []):
            sha256, size = str(item.get("oid")), int(item.get("size") or 0)
            if len(sha256) != 64 or set(sha256) - set("0123456789abcdef"):
                raise Refusal("no_json")
            found = {"oid": sha256, "size": size}
            if upload and not hub.store.has(sha256, size):
                hub.store.check_space(size)
                href = f"{request.base_url}lfs/{hub.ticket(sha256, size)}"
                found["actions"] = {"upload": {"href": href}, "verify": {"href": href}}
            objects.append(found)
        return objects

    objects = await run_in_threadpool(answer)
    return JSONResponse({"transfer": "basic", "objects": objects}, media_type="application/vnd.git-lfs+json")


def ticket_of(hub: Hub, request: Request) -> tuple[str, int]:
    """The hash and the size that a ticket is for; a `Refusal` where it is false or too old."""
    sha256, size, until, sign = (request.path_params[name] for name in ("sha256", "size", "until", "sign"))
    right = hmac.compare_digest(sign, hub.sign(sha256, size, until))
    if not right or until < time.time():
        raise Refusal("old_ticket", 403)
    return sha256, size


async def lfs_put(hub: Hub, request: Request) -> Response:
    await hub.take(request, *ticket_of(hub, request))
    return Response()


async def lfs_verify(hub: Hub, request: Request) -> Response:
    sha256, size = ticket_of(hub, request)
    if not hub.store.has(sha256, size):
        raise Refusal("no_content", 404, given=sha256)
    return Response()


async def commit(hub: Hub, request: Request) -> Response:
    refuse_pull_requests(request)
    repo = await run_in_threadpool(hub.repo, request)
    person = await run_in_threadpool(hub.writer, request, repo.id)
    branch, head, added, deleted = request.path_params["rev"], {}, {}, []
    async for item in read_lines(request):
        key, value = item["key"], item["value"]
        path = None if key == "header" else check_path(str(value.get("path", "")).rstrip("/"))
        if key == "header":
            head = value
        elif key == "file":
            try:
                content = base64.b64decode(value.get("content") or "", validate=True)
            except (binascii.Error, ValueError):
                raise Refusal("no_json") from None
            added[path] = await run_in_threadpool(hub.store.keep_bytes, content)
        elif key == "lfsFile":
            added[path] = large_entry(hub.store, path, value)
        elif key in ("deletedFile", "deletedFolder"):
            deleted.append(f"{path}/" if key == "deletedFolder" else path)
        else:
            raise Refusal("no_json")
    make = partial(hub.store.commit, repo, added, deleted, author=person, branch=branch)
    words = {"title": str(head.get("summary") or ""), "description": str(head.get("description") or "")}
    oid = await run_in_threadpool(make, **words, parent=head.get("parentCommit"))
    url = f"{address(request, repo.kind, repo.id)}/commit/{oid}"
    return JSONResponse({"success": True, "commitOid": oid, "commitUrl": url, "hookOutput": ""})


def large_entry(store: Store, path: str, value: dict) -> dict:
    """The entry of a large file that was sent before; a `Refusal` where it was not. A copy does not name its size."""
    sha256 = str(value.get("oid"))
    if set(sha256) - set("0123456789abcdef") or not store.blob(sha256).is_file():
        raise Refusal("no_content", 422, given=path)
    return entry_for(sha256, store.blob(sha256).stat().st_size)


def change_ref(hub: Hub, request: Request, kind: str, name: str, revision: str) -> Response:
    """Make or remove a branch or a tag."""
    repo = hub.repo(request)
    hub.writer(request, repo.id)
    if request.method == "DELETE":
        hub.store.drop_ref(repo, kind, name)
    else:
        hub.store.set_ref(repo, kind, name, revision)
    return JSONResponse({})


async def change_branch(hub: Hub, request: Request) -> Response:
    asked = await read_json(request)
    name, start = request.path_params["rev"], asked.get("startingPoint") or MAIN
    return await run_in_threadpool(change_ref, hub, request, "branches", name, start)


async def change_tag(hub: Hub, request: Request) -> Response:
    asked = await read_json(request)
    revision = request.path_params["rev"]  # of a tag that goes, its name
    name = revision if request.method == "DELETE" else str(asked.get("tag") or "")
    return await run_in_threadpool(change_ref, hub, request, "tags", name, revision)


async def unknown(hub: Hub, request: Request) -> Response:
    raise Refusal("unknown_call", 501, given=f"{request.method} {request.url.path}")


# The pages for browsers.


def home_page(hub: Hub, request: Request) -> Response:
    if request.method == "HEAD":  # somebody asks whether there is a Hub
        return Response()
    lang = reader_lang(request, hub.lang)
    owner = request.path_params.get("owner")
    if owner and (alias := hub.shelf.aliases.get(("models", owner))):
        return RedirectResponse(f"/{alias}")
    query = {"search": request.query_params.get("search", "")} | ({"author": owner} if owner else {})
    listed = {
        kind: [(info, hub.shelf.items.get((kind, info["id"]))) for info in hub.listed(kind, query)] for kind in KINDS
    }
    return HTMLResponse(pages.home(lang, listed, request, owner, query["search"]), headers=HEADERS)


def repo_page(hub: Hub, request: Request) -> Response:
    lang, repo = reader_lang(request, hub.lang), hub.repo(request)
    revision = request.path_params.get("rev", MAIN)
    oid = hub.shelf.resolve(repo, revision)
    item, found = hub.shelf.item(repo), repo.commit(oid)
    _, text = split_card(hub.text(found, "README.md", CARD_BYTES))
    return HTMLResponse(pages.card(lang, repo, revision, oid, found, text, item, request), headers=HEADERS)


def blob_page(hub: Hub, request: Request) -> Response:
    return RedirectResponse(request.url.path.replace("/blob/", "/resolve/", 1))


def address(request: Request, kind: str, repo_id: str) -> str:
    """Where a repository's page is, as the client calls this server."""
    return f"{request.base_url}{KINDS[kind]}{quote(repo_id)}"


def refused(hub: Hub, request: Request, refusal: Refusal, **more) -> Response:
    """An answer that says what was given, what was expected and what to do, as clients and browsers show it."""
    lang = reader_lang(request, hub.lang)
    words = refusal.words(lang)
    if "text/html" in request.headers.get("accept", "") and request.method == "GET":
        return HTMLResponse(pages.trouble(lang, words, request), refusal.status, headers=HEADERS)
    response = JSONResponse({"error": words} | more, refusal.status)
    response.raw_headers.append((b"x-error-message", " ".join(words.split()).encode("utf-8")))
    if refusal.code:
        response.headers["X-Error-Code"] = refusal.code
    if "commit" in refusal.values:
        response.headers["X-Repo-Commit"] = refusal.values["commit"]
    return response


Handler = Callable[[Hub, Request], Any]
T, R = "/api/{kind:kind}/{repo:repo}", "{rev:part}"
ROUTES: list[tuple[str, Handler, str]] = [
    ("/api/whoami-v2", whoami, "GET"),
    ("/api/repos/create", create_repo, "POST"),
    ("/api/repos/delete", delete_repo, "DELETE"),
    ("/api/validate-yaml", validate_yaml, "POST"),
    ("/api/{kind:kind}", list_repos, "GET"),
    (f"{T}/revision/{R}", repo_info, "GET"),
    (f"{T}/tree/{R}/{{path:rest}}", tree, "GET"),
    (f"{T}/tree/{R}", tree, "GET"),
    (f"{T}/paths-info/{R}", paths_info, "POST"),
    (f"{T}/refs", refs, "GET"),
    (f"{T}/commits/{R}", commits, "GET"),
    (f"{T}/auth-check", auth_check, "GET"),
    (f"{T}/preupload/{R}", preupload, "POST"),
    (f"{T}/commit/{R}", commit, "POST"),
    (f"{T}/branch/{R}", change_branch, "POST DELETE"),
    (f"{T}/tag/{R}", change_tag, "POST DELETE"),
    (T, repo_info, "GET"),
    ("/api/{rest:rest}", unknown, "GET POST PUT DELETE"),
    ("/lfs/{sha256:part}/{size:int}/{until:int}/{sign:part}", lfs_put, "PUT"),
    ("/lfs/{sha256:part}/{size:int}/{until:int}/{sign:part}", lfs_verify, "POST"),
]
for prefix in ("/{kind:kind}/{repo:repo}", "/{repo:repo}"):
    ROUTES += [
        (f"{prefix}.git/info/lfs/objects/batch", lfs_batch, "POST"),
        (f"{prefix}/resolve/{R}/{{path:rest}}", resolve, "GET"),
        (f"{prefix}/raw/{R}/{{path:rest}}", resolve, "GET"),
        (f"{prefix}/blob/{R}/{{path:rest}}", blob_page, "GET"),
        (f"{prefix}/commit/{R}", repo_page, "GET"),
        (f"{prefix}/tree/{R}", repo_page, "GET"),
    ]
ROUTES += [
    ("/", home_page, "GET"),
    ("/{kind:kind}", home_page, "GET"),
    ("/{kind:kind}/{repo:repo}", repo_page, "GET"),
    ("/{owner:part}", home_page, "GET"),
    ("/{repo:repo}", repo_page, "GET"),
]


def make_app(hub: Hub) -> Callable:
    """The application: every route, with the hub as its first argument, and refusals as answers."""

    def bound(handler: Handler) -> Callable:
        async def endpoint(request: Request) -> Response:
            try:
                if inspect.iscoroutinefunction(handler):
                    return await handler(hub, request)
                return await run_in_threadpool(handler, hub, request)
            except Refusal as refusal:
                return refused(hub, request, refusal)
            except ClientDisconnect:
                return Response(status_code=400)

        return endpoint

    async def missing(request: Request, error: HTTPException) -> Response:
        given = f"{request.method} {request.url.path}"
        return refused(hub, request, Refusal("unknown_call", error.status_code, given=given))

    routes = [Route(path, bound(handler), methods=methods.split()) for path, handler, methods in ROUTES]
    app = Starlette(routes=routes, exception_handlers={404: missing, 405: missing})

    async def with_raw_path(scope: dict, receive: Callable, send: Callable) -> None:
        """A slash in a branch's name arrives as %2F, and has to stay so until the route is found."""
        if scope["type"] == "http":
            scope = {**scope, "path": scope["raw_path"].decode("utf-8", "replace")}
        await app(scope, receive, send)

    return with_raw_path
