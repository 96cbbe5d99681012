"""Serves the course's website from a folder, to this machine or to a room: files, packed on the way, no library."""

import gzip
import mimetypes
import os
import posixpath
import re
from contextlib import suppress
from functools import lru_cache
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import unquote, urlsplit

from ftcourse.engine.messages import language, message
from ftcourse.engine.sockets import listen

PACKED = {".html", ".css", ".js", ".mjs", ".json", ".svg", ".txt", ".xml", ".ipynb", ".md", ".wasm"}
TYPES = {
    ".js": "text/javascript",
    ".mjs": "text/javascript",
    ".wasm": "application/wasm",
    ".svg": "image/svg+xml",
    ".json": "application/json",
    ".ipynb": "application/x-ipynb+json",
    ".md": "text/markdown; charset=utf-8",
    ".html": "text/html; charset=utf-8",
    ".css": "text/css",
    ".onnx": "application/octet-stream",
}
SMALL_BYTES = 1_000  # what is smaller is sent as it is
KEPT_FILES = 400
PIECE_BYTES = 1 << 18
RANGE = re.compile(r"bytes=(\d*)-(\d*)")  # some browsers play sound only in ranges
PLACES = (Path("build/site"), Path(__file__).parents[2] / "build" / "site")


def find_site(folder: str | os.PathLike | None = None) -> Path:
    """The folder of the built site: the one named, or where `make site` puts it. `OSError` says how to get one."""
    tried = [Path(folder)] if folder else [*PLACES]
    for place in tried:
        if (place / "index.html").is_file():
            return place.resolve()
    raise OSError(message(language(), "cli", "no_site", folder=tried[0]))


@lru_cache(maxsize=KEPT_FILES)
def packed(path: str, changed: int) -> bytes:
    """A file's content, packed; kept until the file changes."""
    return gzip.compress(Path(path).read_bytes(), 6, mtime=0)


class Handler(SimpleHTTPRequestHandler):
    """Answers with a file of the site. Nothing outside of its folder is read, and no folder is listed."""

    protocol_version = "HTTP/1.1"
    extensions_map = {**mimetypes.types_map, **TYPES, "": "application/octet-stream"}
    root = Path()

    def do_GET(self) -> None:
        self.answer(body=True)

    def do_HEAD(self) -> None:
        self.answer(body=False)

    def find(self) -> Path | None:
        """The file that is asked for, if there is one."""
        name = posixpath.normpath(unquote(urlsplit(self.path).path)).lstrip("/")
        if "\0" in name:
            return None
        path = (self.root / name).resolve()
        if not path.is_relative_to(self.root):
            return None
        with suppress(OSError):  # of a name that is too long
            path = path / "index.html" if path.is_dir() else path
            return path if path.is_file() else None
        return None

    def answer(self, body: bool) -> None:
        """Send a file, or a redirect to a folder's own address, or the page that says there is none."""
        place = urlsplit(self.path).path
        path, status = self.find(), 200
        if path and path.name == "index.html" and not place.endswith(("/", ".html")):
            return self.head(301, {"Location": f"{place}/", "Content-Length": "0"})
        if not path:
            path, status = self.root / "404.html", 404
        if not path.is_file():
            return self.send_error(404)
        about = path.stat()
        size, tag = about.st_size, f'"{about.st_mtime_ns:x}-{about.st_size:x}"'
        if status == 200 and self.headers.get("If-None-Match") == tag:
            return self.head(304, {"ETag": tag})
        headers = {"Content-Type": self.guess_type(str(path)), "ETag": tag, "Cache-Control": "no-cache"}
        headers |= {"Vary": "Accept-Encoding", "X-Content-Type-Options": "nosniff"}
        if path.suffix in PACKED and size > SMALL_BYTES and "gzip" in self.headers.get("Accept-Encoding", ""):
            content = packed(str(path), about.st_mtime_ns)
            self.head(status, headers | {"Content-Encoding": "gzip", "Content-Length": str(len(content))})
            if body:
                self.wfile.write(content)
            return
        first, last = self.asked(size) if status == 200 else (0, size - 1)
        if (first, last) != (0, size - 1):
            status, headers["Content-Range"] = 206, f"bytes {first}-{last}/{size}"
        self.head(status, headers | {"Accept-Ranges": "bytes", "Content-Length": str(last - first + 1)})
        if body:
            with open(path, "rb") as file:
                file.seek(first)
                left = last - first + 1
                while left and (piece := file.read(min(left, PIECE_BYTES))):
                    self.wfile.write(piece)
                    left -= len(piece)

    def head(self, status: int, headers: dict[str, str]) -> None:
        """Send how an answer begins."""
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name, value)
        self.end_headers()

    def asked(self, size: int) -> tuple[int, int]:
        """The first and the last byte that are asked for; all of them, where that makes no sense."""
        found = RANGE.fullmatch(self.headers.get("Range", ""))
        if not found or not any(found.groups()):
            return 0, size - 1
        if not found[1]:
            return max(0, size - int(found[2])), size - 1
        first, last = int(found[1]), min(int(found[2] or size), size - 1)
        return (first, last) if first <= last else (0, size - 1)

    def log_message(self, *arguments: object) -> None:
        """Nothing: the terminal is the reader's."""

    def handle(self) -> None:
        with suppress(ConnectionError, TimeoutError):  # a browser that went on to another page
            super().handle()


class Server(ThreadingHTTPServer):
    """The server: a thread a connection, as many as a room has."""

    daemon_threads = True


def make_server(folder: Path, host: str = "127.0.0.1", port: int = 8000, lang: str = "en") -> Server:
    """A server for a folder, which listens already; port 0 stands for any that is free.

    Raises `OSError`, with what to do, where the address is taken.

    >>> from tempfile import mkdtemp
    >>> with make_server(Path(mkdtemp()), port=0) as server:
    ...     server.server_port > 0
    True
    """
    handler = type("SiteHandler", (Handler,), {"root": Path(folder).resolve()})
    server = Server((host, port), handler, bind_and_activate=False)
    server.socket.close()
    server.socket = listen(host, port, lang)  # asks for no name of this machine, which can take seconds
    server.server_address = server.socket.getsockname()
    server.server_name, server.server_port = server.server_address[:2]
    return server
