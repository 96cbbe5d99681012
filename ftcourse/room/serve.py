"""Runs the server: `python -m ftcourse.room.serve FOLDER LANG PORT [temporary]` is what `start_hub` starts."""

import os
import sys
from collections.abc import Callable
from pathlib import Path
from shutil import rmtree
from threading import Thread

import uvicorn
from filelock import FileLock, Timeout

from ftcourse.engine.messages import message
from ftcourse.engine.sockets import listen
from ftcourse.room.server import Hub, make_app

GRACE_SECONDS = 5  # for transfers that are under way when the server ends


def serve(
    folder: Path,
    *,
    host: str = "127.0.0.1",
    port: int = 8000,
    lang: str = "en",
    tokens: tuple[str, ...] = (),
    ready: Callable[[Hub, int], None],
    watch: Callable[[uvicorn.Server], None] = lambda server: None,
    patience: float = 0,
) -> None:
    """Serve a folder until the process is told to end. `ready` is called with the hub and the port before it begins.

    `watch` gets the server, and may end it. Raises `OSError` where the address is taken, or where another server
    still has the folder after so many seconds of `patience`.
    """
    folder.mkdir(parents=True, exist_ok=True)
    lock = FileLock(folder / ".hub.lock")
    try:
        held = lock.acquire(timeout=patience)
    except Timeout:
        raise OSError(message(lang, "room", "error.folder_taken", given=str(folder))) from None
    with held, listen(host, port, lang) as sock:
        hub = Hub(folder, lang, tokens)
        config = uvicorn.Config(
            make_app(hub),
            timeout_graceful_shutdown=GRACE_SECONDS,
            log_level="warning",
            access_log=False,
            timeout_keep_alive=30,
            lifespan="off",
            ws="none",
        )
        server = uvicorn.Server(config)
        ready(hub, sock.getsockname()[1])
        watch(server)
        server.run(sockets=[sock])


def main() -> None:
    """The process in the background: says its address on one line, and ends when its input does.

    A temporary folder goes with it, so that it goes, too, where a notebook is killed.
    """
    folder, lang, port, *temporary = sys.argv[1:]

    def until_input_ends(server: uvicorn.Server) -> None:
        def wait() -> None:
            while os.read(0, 1):
                pass
            server.should_exit = True

        Thread(target=wait, daemon=True).start()

    try:
        serve(
            Path(folder),
            port=int(port),
            lang=lang,
            ready=lambda hub, port: print(f"http://127.0.0.1:{port}", flush=True),
            watch=until_input_ends,
            patience=GRACE_SECONDS + 3,  # a kernel that was started anew follows the server of the one before
        )
    except OSError as error:
        sys.exit(str(error))
    finally:
        if temporary:
            rmtree(folder, ignore_errors=True)


if __name__ == "__main__":
    main()
