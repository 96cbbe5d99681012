"""Runs the server until the process is told to end; what is asked by then is answered first."""

import os
import re
import signal
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from importlib.util import find_spec
from ipaddress import ip_address
from pathlib import Path
from threading import current_thread, main_thread

from ftcourse.engine.messages import in_words, language, message

SERVER = ("starlette", "uvicorn")  # the extra `serve`
GRACE_SECONDS = 30  # for answers that are worked out when the server ends
ORIGIN = re.compile(r"(?:https?://[^/?#\s]+|\*|null)")


def check_server() -> None:
    """Make sure that what a server needs is installed; a `RuntimeError` says how to get it.

    >>> check_server()
    """
    if any(find_spec(module) is None for module in SERVER):
        raise RuntimeError(message(language(), "cli", "needs_serve"))


def check_origins(origins: Sequence[str]) -> list[str]:
    """The origins, as browsers name them: scheme and host, with no path; a `ValueError` for one that is none.

    >>> check_origins(["https://example.org/"])
    ['https://example.org']
    """
    found = [origin.rstrip("/") for origin in origins]
    for origin in found:
        if not ORIGIN.fullmatch(origin):
            raise ValueError(in_words("origin", given=origin))
    return found


def is_local(host: str) -> bool:
    """Whether only this machine itself can reach what listens at a host.

    >>> is_local("127.0.0.1"), is_local("localhost"), is_local("0.0.0.0")
    (True, True, False)
    """
    try:
        return ip_address(host.strip("[]")).is_loopback
    except ValueError:
        return host.lower() == "localhost"


@contextmanager
def terminable() -> Iterator[None]:
    """While it lasts, being asked to end (SIGTERM) is no sudden death, where it would be one."""
    if current_thread() is not main_thread():  # no other one gets signals
        yield
        return
    before = signal.signal(signal.SIGTERM, lambda *_: None)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)


def serve(
    model: str | os.PathLike,
    *,
    host: str = "127.0.0.1",
    port: int = 8000,
    lang: str = "en",
    origins: Sequence[str] = (),
    ready: Callable[[int], None] = lambda port: None,
    **options,
) -> None:
    """Answer over HTTP with the model in a folder until the process is told to end, by Ctrl-C or SIGTERM.

    `ready` is called with the port before it begins; `options` go to `Predictor`. Raises `OSError` where the address is
    taken, `ValueError` where there is no model.
    """
    check_server()
    import uvicorn

    from ftcourse.engine.progress import quiet_libraries
    from ftcourse.engine.sockets import listen
    from ftcourse.inference import Predictor
    from ftcourse.service.app import Service, make_app, pairs_of

    origins = check_origins(origins)
    with listen(host, port, lang) as sock, quiet_libraries():
        predictor = Predictor(model, **options)
        name, pairs = Path(model).name or str(model), pairs_of(Path(model))
        service = Service(predictor, name, lang=lang, origins=origins, pairs=pairs)
        config = uvicorn.Config(
            make_app(service),
            timeout_graceful_shutdown=GRACE_SECONDS,
            log_level="critical",  # what else it says may name an address with a text in it
            access_log=False,
            timeout_keep_alive=30,
            lifespan="off",
            ws="none",
            server_header=False,
        )
        ready(sock.getsockname()[1])
        try:
            with terminable():
                uvicorn.Server(config).run(sockets=[sock])
        finally:
            service.worker.close()
