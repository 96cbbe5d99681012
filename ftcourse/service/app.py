"""The application: routes, limits, who may ask from where, and a line in the log for each request, without texts."""

import asyncio
import json
import math
import sys
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path

import numpy as np
from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.middleware.cors import CORSMiddleware
from starlette.requests import ClientDisconnect, Request
from starlette.responses import HTMLResponse, JSONResponse, Response
from starlette.routing import Route

from ftcourse.engine.answers import number_words
from ftcourse.engine.calls import texts_of
from ftcourse.engine.forward import answers_of
from ftcourse.engine.messages import message
from ftcourse.inference import Predictor
from ftcourse.room.frame import HEADERS, reader_lang
from ftcourse.service import pages
from ftcourse.service.questions import Limits, Question, Refused, form_question, question_of
from ftcourse.service.worker import Full, Worker

DIGITS = 6  # of a probability, after the point
PATIENCE = 20  # times the limit of a body: so much is heard before it is refused
USUAL = Limits()
LOCAL = {"Content-Security-Policy": HEADERS["Content-Security-Policy"] + "; form-action 'self'"}


class Service:
    """What the routes share: the model and its thread, the limits, the language, and who may ask from where.

    `pairs` says whether the model is one for pairs; None where that is not known.
    """

    def __init__(
        self,
        predictor: Predictor,
        name: str = "model",
        *,
        lang: str = "en",
        limits: Limits = USUAL,
        origins: Sequence[str] = (),
        log: Callable[[str], None] | None = None,
        pairs: bool | None = None,
    ):
        self.predictor, self.name, self.lang, self.limits, self.pairs = predictor, name, lang, limits, pairs
        self.origins, self.log = [*origins], log or to_errors
        self.worker = Worker(predictor, limits.waiting)

    @property
    def config(self):
        """The configuration of the model."""
        return self.predictor.model.config

    @property
    def labels(self) -> list[str]:
        """The names of the labels; none where the answers are numbers."""
        several = range(self.config.num_labels) if self.config.problem_type != "regression" else ()
        return [str(self.config.id2label[number]) for number in several]

    async def answers(self, question: Question) -> list[dict]:
        """The answers to a question, once they are there; refused where it is no pair, or one, or too many wait."""
        if self.pairs is not None and self.pairs != (question.pairs is not None):
            key = "pairs_wanted" if self.pairs else "single_wanted"
            raise Refused(422, key)
        try:
            result = self.worker.ask(question.texts, question.pairs)
        except Full:
            raise Refused(503, "full") from None
        probabilities = await asyncio.wrap_future(result)
        return answers(probabilities, self.config, question.threshold or self.predictor.threshold)


def to_errors(line: str) -> None:
    """Write a line to the error output, where there is one."""
    with suppress(OSError, ValueError, AttributeError):
        print(line, file=sys.stderr, flush=True)


def plain(number: float) -> float | None:
    """A probability as JSON has it: rounded, None for what is no number.

    >>> plain(0.123456789), plain(float("nan"))
    (0.123457, None)
    """
    return round(float(number), DIGITS) if math.isfinite(number) else None


def answers(probabilities: np.ndarray, config, threshold: float) -> list[dict]:
    """The answers as JSON has them: a label with its probability, a list of labels, or a number.

    >>> from transformers import PretrainedConfig
    >>> answers(np.array([[0.25, 0.75]]), PretrainedConfig(id2label={0: "bad", 1: "good"}), 0.5)
    [{'label': 'good', 'probability': 0.75, 'probabilities': {'bad': 0.25, 'good': 0.75}}]
    """
    found = answers_of(probabilities, config, threshold)
    if config.problem_type == "regression":
        return [{"number": float(number_words(number)) if math.isfinite(number) else None} for number in found]
    names = [str(config.id2label[number]) for number in range(config.num_labels)]
    rows = [dict(zip(names, map(plain, row), strict=True)) for row in probabilities.tolist()]
    if config.problem_type == "multi_label_classification":
        return [{"labels": labels, "probabilities": row} for labels, row in zip(found, rows, strict=True)]
    best = [plain(row.max()) for row in probabilities]
    return [
        {"label": label, "probability": one, "probabilities": row}
        for label, one, row in zip(found, best, rows, strict=True)
    ]


async def body_of(request: Request, limits: Limits) -> bytes:
    """The body of a request; it is refused where it is too long, or too slow."""
    length, body, size = request.headers.get("content-length", ""), bytearray(), 0
    if length.isdecimal() and int(length) > PATIENCE * limits.bytes:
        raise Refused(413, "long_body", most=limits.bytes)
    try:
        async with asyncio.timeout(limits.seconds):
            async for chunk in request.stream():
                size += len(chunk)
                if size <= limits.bytes:
                    body += chunk
                elif size > PATIENCE * limits.bytes:  # many clients read an answer only when they have sent all
                    break
    except TimeoutError:
        raise Refused(408, "slow", seconds=limits.seconds) from None
    if size > limits.bytes:
        raise Refused(413, "long_body", most=limits.bytes)
    return bytes(body)


def check_origin(service: Service, request: Request) -> None:
    """Make sure that a request that a page of a browser sends comes from this server's page, or from one allowed."""
    origin = request.headers.get("origin")
    own = f"{request.url.scheme}://{request.headers.get('host', '')}"
    if origin is not None and origin != own and not {origin, "*"} & {*service.origins}:
        raise Refused(403, "origin", given=origin[:100])


# The routes


async def predict(service: Service, request: Request) -> Response:
    check_origin(service, request)
    question = question_of(await body_of(request, service.limits), service.limits)
    request.state.texts = len(question.texts)
    return JSONResponse({"answers": await service.answers(question)})


async def health(service: Service, request: Request) -> Response:
    alive = service.worker.thread.is_alive() and not service.worker.closed
    found = {"status": "ok" if alive else "stopping", "model": service.name, "labels": service.labels}
    return JSONResponse(found | {"waiting": service.worker.texts}, 200 if alive else 503)


async def home(service: Service, request: Request) -> Response:
    lang = reader_lang(request, service.lang)
    return HTMLResponse(pages.home(lang, service, request), headers=HEADERS | LOCAL)


async def form(service: Service, request: Request) -> Response:
    """The page with the answer to the sentence that its form sent."""
    lang, values = reader_lang(request, service.lang), {}
    status = 200
    try:
        check_origin(service, request)
        question = form_question(await body_of(request, service.limits), service.limits)
        request.state.texts, values = 1, {"text": question.texts[0], "pair": (question.pairs or [""])[0]}
        values["answer"] = (await service.answers(question))[0]
    except Refused as refused:
        status, values["wrong"] = refused.status, refused.words(lang)
    return HTMLResponse(pages.home(lang, service, request, **values), status, headers=HEADERS | LOCAL)


async def description(service: Service, request: Request) -> Response:
    url = str(request.base_url).rstrip("/")
    return JSONResponse(pages.openapi(reader_lang(request, service.lang), service, url))


ROUTES = [
    ("/", home, "GET"),
    ("/", form, "POST"),
    ("/docs", home, "GET"),
    ("/predict", predict, "POST"),
    ("/health", health, "GET"),
    ("/openapi.json", description, "GET"),
]
PATHS = {path for path, *_ in ROUTES}


def refusal(service: Service, request: Request, refused: Refused) -> Response:
    """An answer that says what was given, what was expected and what to do."""
    headers = {"Retry-After": "1"} if refused.status == 503 else {}
    return JSONResponse({"error": refused.words(reader_lang(request, service.lang))}, refused.status, headers=headers)


def make_app(service: Service) -> Callable:
    """The application: every route with the service as its first argument, and whatever goes wrong as an answer."""

    def bound(handler: Callable) -> Callable:
        async def endpoint(request: Request) -> Response:
            started, response = time.perf_counter(), None
            try:
                response = await handler(service, request)
            except Refused as refused:
                response = refusal(service, request, refused)
            except ClientDisconnect:
                response = Response(status_code=400)
            except Exception as error:  # what is in it may be somebody's text: only its kind is told
                service.log(f"{type(error).__name__}: {request.url.path}")
                response = refusal(service, request, Refused(500, "failed"))
            finally:
                note(service, request, response, started)
            return response

        return endpoint

    async def missing(request: Request, error: HTTPException) -> Response:
        started = time.perf_counter()
        key, known = ("method" if error.status_code == 405 else "unknown"), "POST /predict, GET /health, GET /"
        response = refusal(service, request, Refused(error.status_code, key, known=known))
        response.headers.update(error.headers or {})
        note(service, request, response, started)
        return response

    routes = [Route(path, bound(handler), methods=methods.split()) for path, handler, methods in ROUTES]
    app = Starlette(routes=routes, exception_handlers={404: missing, 405: missing})
    if service.origins:
        allowed = {"allow_methods": ["GET", "POST"], "allow_headers": ["Content-Type", "Accept-Language"]}
        app.add_middleware(CORSMiddleware, allow_origins=service.origins, **allowed)
    return app


def note(service: Service, request: Request, response: Response | None, started: float) -> None:
    """A line in the log: when, which route, how it ended, how many texts, how long it took. None of the texts."""
    path = request.url.path if request.url.path in PATHS else "-"  # what else is in an address may be anything
    told = {"status": response.status_code if response else "-", "texts": getattr(request.state, "texts", 0)}
    told["ms"] = round(1000 * (time.perf_counter() - started))
    words = message(service.lang, "serve", "logged", **told)
    service.log(f"{time.strftime('%H:%M:%S')} {request.method} {path} {words}")


def pairs_of(folder: Path) -> bool | None:
    """Whether the model in a folder is one for pairs of texts, where its training or its report tells; or else None.

    >>> pairs_of(Path("nowhere"))
    """
    if texts := texts_of(folder):
        return len(texts) == 2
    try:
        source = json.loads((folder / "report.json").read_text(encoding="utf-8"))["source"]
        columns = [*source["columns"]]
    except (OSError, ValueError, KeyError, TypeError):
        return None
    return False if len(columns) == 2 else None
