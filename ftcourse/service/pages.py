"""The page for trying a sentence, with all it takes to call the model from elsewhere; and the same for programs."""

from html import escape
from typing import TYPE_CHECKING

from starlette.requests import Request

import ftcourse
from ftcourse.engine.checks import LANGS
from ftcourse.engine.messages import message
from ftcourse.room.frame import in_lang, page

if TYPE_CHECKING:
    from ftcourse.service.app import Service

SHOWN = 20  # labels in the answer on the page, the likeliest first
STYLE = """<style>
textarea, button { font: inherit; color: inherit; background: transparent; border: 1px solid var(--line);
  border-radius: .5rem; padding: .5rem .8rem }
textarea { width: 100%; resize: vertical }
label { display: block; margin-block: .6rem .2rem }
button { cursor: pointer; margin-block: .6rem; border-color: var(--link); color: var(--link) }
output { display: block; font-size: 1.3rem }
meter { width: 100% }
</style>"""


def home(
    lang: str,
    service: "Service",
    request: Request,
    *,
    text: str = "",
    pair: str = "",
    answer: dict | None = None,
    wrong: str = "",
) -> str:
    """The page with the form, what it was filled in with and the answer to that, and how to call the model."""

    def say(key: str, **values) -> str:
        return escape(message(lang, "serve", key, **values))

    name = f'<bdi dir="ltr">{escape(service.name)}</bdi>'
    body = f"{STYLE}<h1>{say('title')}</h1><p>{message(lang, 'serve', 'about', model=name)}</p>"
    body += f'<form method="post" action="{in_lang("/", request)}"><label for="text">{say("form.text")}</label>'
    body += f'<textarea id="text" name="text" rows="3" dir="auto" required autofocus>\n{escape(text)}</textarea>'
    if service.pairs is not False:
        body += f'<label for="pair">{say("form.pair")}</label>'
        body += f'<textarea id="pair" name="pair" rows="2" dir="auto">\n{escape(pair)}</textarea>'
    body += f"<button>{say('form.send')}</button></form>"
    body += f'<p class="note" role="alert">{escape(wrong)}</p>' if wrong else ""
    body += answer_html(answer, say) if answer else ""
    url = str(request.base_url).rstrip("/")
    body += f'<h2 id="api">{say("api")}</h2><p>{say("api.about")}</p><pre>{escape(curl(url))}</pre>'
    body += f"<pre>{escape(python(url))}</pre>"
    rows = "".join(
        f'<tr><td><code dir="ltr">{method} {path}</code></td><td>{say(f"api.{key}")}</td></tr>'
        for method, path, key in ENDPOINTS
    )
    body += f"<table>{rows}</table><h2>{say('limits')}</h2><p>{say('limits.are', **limits(service))}</p>"
    body += f'<p><a href="{in_lang("/openapi.json", request)}">{say("openapi")}</a></p>'
    return page(lang, message(lang, "serve", "title"), body, request, "serve")


ENDPOINTS = [
    ("POST", "/predict", "predict"),
    ("GET", "/health", "health"),
    ("GET", "/openapi.json", "openapi"),
]


def limits(service: "Service") -> dict:
    """The limits as messages have them."""
    found = service.limits
    return {"texts": found.texts, "letters": found.letters, "kilobytes": found.bytes // 1000}


def answer_html(answer: dict, say) -> str:
    """An answer on the page: what it is, and how probable each label is."""
    if "number" in answer:
        return f"<h2>{say('answer')}</h2><output>{answer['number']}</output>"
    names = answer["labels"] if "labels" in answer else [answer["label"]]
    told = " ".join(f"<bdi>{escape(str(name))}</bdi>" for name in names) or say("no_label")
    rows = sorted(answer["probabilities"].items(), key=lambda entry: -(entry[1] or 0))[:SHOWN]
    cells = "".join(
        f'<tr><td><bdi>{escape(name)}</bdi></td><td><meter value="{one or 0}"></meter></td><td>{one}</td></tr>'
        for name, one in rows
    )
    return f"<h2>{say('answer')}</h2><output>{told}</output><table>{cells}</table>"


def curl(url: str) -> str:
    """The call from a shell."""
    return f"""curl {url}/predict -H "Content-Type: application/json" -d '{{"texts": ["Lovely staff, cold soup."]}}'"""


def python(url: str) -> str:
    """The call from Python."""
    return f"""import json
from urllib.request import Request, urlopen

body = json.dumps({{"texts": ["Lovely staff, cold soup."]}}).encode()
request = Request("{url}/predict", body, {{"Content-Type": "application/json"}})
print(json.load(urlopen(request))["answers"])"""


def openapi(lang: str, service: "Service", url: str) -> dict:
    """The interface as OpenAPI 3.1 describes it, in a language."""

    def say(key: str, **values) -> str:
        return message(lang, "serve", key, **values)

    found = service.limits
    text = {"type": "string", "minLength": 1, "maxLength": found.letters}
    texts = {"type": "array", "items": text, "minItems": 1, "maxItems": found.texts}
    probability = {"type": ["number", "null"], "minimum": 0, "maximum": 1}
    label = {"type": "string", "enum": service.labels}
    each = {"type": "object", "properties": dict.fromkeys(service.labels, probability)}
    answer = {
        "regression": {"number": {"type": ["number", "null"]}},
        "multi_label_classification": {"labels": {"type": "array", "items": label}, "probabilities": each},
    }.get(service.config.problem_type, {"label": label, "probability": probability, "probabilities": each})
    answers = {"type": "array", "items": {"type": "object", "properties": answer, "required": [*answer]}}
    question = {
        "type": "object",
        "required": ["texts"],
        "additionalProperties": False,
        "properties": {
            "texts": texts | {"description": say("api.texts")},
            "pairs": texts | {"description": say("api.pairs")},
            "threshold": {
                "type": "number",
                "exclusiveMinimum": 0,
                "exclusiveMaximum": 1,
                "description": say("api.threshold"),
            },
        },
        "example": {"texts": ["Lovely staff, cold soup."]},
    }
    wrong = {"type": "object", "properties": {"error": {"type": "string"}}, "required": ["error"]}
    state = {"status": {"type": "string"}, "model": {"type": "string"}, "labels": {"type": "array"}}
    state |= {"waiting": {"type": "integer"}}

    def given(schema: dict, words: str) -> dict:
        return {"description": words, "content": {"application/json": {"schema": schema}}}

    refusals = {status: given(wrong, say(f"status.{status}")) for status in ("403", "408", "413", "422", "503")}
    done = given({"type": "object", "properties": {"answers": answers}, "required": ["answers"]}, say("api.answers"))
    header = {"name": "Accept-Language", "in": "header", "schema": {"type": "string", "enum": [*LANGS]}}
    return {
        "openapi": "3.1.0",
        "info": {"title": say("title"), "version": ftcourse.__version__},
        "servers": [{"url": url}],
        "paths": {
            "/predict": {
                "post": {
                    "summary": say("api.predict"),
                    "operationId": "predict",
                    "parameters": [header | {"description": say("api.language")}],
                    "requestBody": {"required": True, "content": {"application/json": {"schema": question}}},
                    "responses": {"200": done} | refusals,
                }
            },
            "/health": {
                "get": {
                    "summary": say("api.health"),
                    "operationId": "health",
                    "responses": {"200": given({"type": "object", "properties": state}, say("api.health"))},
                }
            },
        },
    }
