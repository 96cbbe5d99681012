"""`ftcourse serve` with 50 clients, beside a server that makes one `pipeline` call a request, in the same framework.
`python -m benchmarks.serve FOLDER` is that other server."""

import json
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from threading import Lock

from benchmarks.clients import Heard
from benchmarks.measure import compare, report, take_turns
from ftcourse.kit import Kit

CLIENTS, SECONDS = 50, 10
OURS, QUICK, OTHER = "ftcourse serve", "ftcourse serve --precision auto", "one pipeline call a request"
SERVE = ["-m", "ftcourse.cli", "serve", "{model}", "--port", "0"]
COMMANDS = {OURS: SERVE, QUICK: [*SERVE, "--precision", "auto"], OTHER: ["-m", "benchmarks.serve", "{model}"]}


@contextmanager
def started(name: str) -> Iterator[str]:
    """One of the two servers in a process of its own, with the kit's model for stars; gives its address."""
    command = [sys.executable, *(word.format(model=Kit().model("stars")) for word in COMMANDS[name])]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True) as process:
        try:
            yield re.search(r"http://[\d.:]+\d", process.stdout.readline())[0]
        finally:
            process.terminate()


def asked(url: str, clients: int = CLIENTS, seconds: float = SECONDS) -> Heard:
    """What clients in a process of their own heard from a server."""
    command = [sys.executable, "-m", "benchmarks.clients", url, str(clients), str(seconds)]
    environment = os.environ | {"OMP_NUM_THREADS": "1"}
    done = subprocess.run(command, env=environment, stdout=subprocess.PIPE, check=True, text=True)
    return Heard(**json.loads(done.stdout))


def measured(name: str) -> dict[str, float]:
    """The figures of one server, after a moment to warm up; `taken` is how long 1,000 requests take."""
    with started(name) as url:
        asked(url, seconds=2)
        heard = asked(url)
    if heard.wrong:
        print(name, heard.wrong[:3], file=sys.stderr)
    summary = heard.summary()
    return summary | {"taken": 1000 / summary["requests_a_second"]}


def main() -> None:
    results = take_turns({name: lambda seed, name=name: lambda: measured(name) for name in COMMANDS})
    for runs in results.values():
        for run in runs if isinstance(runs, list) else []:
            run["seconds"] = run.pop("taken")
            run.pop("processor")  # of this process, which only waits
    report("serve", {f"1,000 requests, {CLIENTS} clients, mixed lengths": compare(results, OURS)})


def one_call_a_request(model: str) -> None:
    """The server that one writes in a minute: each request is one call of a pipeline, which one thread may use."""
    import uvicorn
    from starlette.applications import Starlette
    from starlette.concurrency import run_in_threadpool
    from starlette.requests import Request
    from starlette.responses import JSONResponse
    from starlette.routing import Route
    from transformers import pipeline

    from ftcourse.engine.sockets import listen

    pipe, lock = pipeline("text-classification", model=model), Lock()

    def work(texts: list[str]) -> list[dict]:
        with lock:
            return pipe(texts, truncation=True)

    async def predict(request: Request) -> JSONResponse:
        return JSONResponse({"answers": await run_in_threadpool(work, (await request.json())["texts"])})

    with listen("127.0.0.1", 0, "en") as sock:
        print(f"http://127.0.0.1:{sock.getsockname()[1]}", flush=True)
        app = Starlette(routes=[Route("/predict", predict, methods=["POST"])])
        uvicorn.Server(uvicorn.Config(app, log_level="warning", access_log=False)).run(sockets=[sock])


if __name__ == "__main__":
    one_call_a_request(sys.argv[1])
