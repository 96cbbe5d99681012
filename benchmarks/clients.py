"""Many clients that ask a server at the same time, each again as soon as it has its answer, over connections that they
keep: `python -m benchmarks.clients URL CLIENTS SECONDS` prints what they heard, as JSON."""

import asyncio
import json
import random
import statistics
import sys
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from urllib.parse import urlsplit

from datasets import load_dataset

from ftcourse.kit import Kit

LENGTHS = (1, 1, 1, 1, 2, 3, 5, 12)  # reviews that are joined into one text: mostly short, some of hundreds of tokens
TEXTS = (1, 1, 1, 1, 2, 4)  # in a request


@dataclass
class Heard:
    """What the clients heard: how long each answer took, how many texts were answered, and whatever went wrong."""

    seconds: float = 0
    milliseconds: list[float] = field(default_factory=list)
    texts: int = 0
    wrong: list[str] = field(default_factory=list)

    def summary(self) -> dict[str, float]:
        """Requests and texts a second, and how long half of the answers and all but 5 and 1 % of them took.

        >>> Heard(2, [1.0, 2.0, 3.0], 6).summary()["texts_a_second"]
        3.0
        """
        cuts = statistics.quantiles(self.milliseconds, n=100) if len(self.milliseconds) > 1 else [0.0] * 99
        return {
            "requests": len(self.milliseconds),
            "requests_a_second": len(self.milliseconds) / self.seconds,
            "texts_a_second": self.texts / self.seconds,
            "median_ms": cuts[49],
            "p95_ms": cuts[94],
            "p99_ms": cuts[98],
            "wrong": len(self.wrong),
        }


def questions(count: int = 500, seed: int = 0) -> list[list[str]]:
    """Texts of mixed lengths, from one sentence to hundreds of tokens, one or a few in a request."""
    rng, reviews = random.Random(seed), load_dataset(*Kit().dataset("reviews"))["test"]["text"][:]
    return [
        [" ".join(rng.choices(reviews, k=rng.choice(LENGTHS))) for _ in range(rng.choice(TEXTS))] for _ in range(count)
    ]


async def ask(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, host: str, texts: list[str]) -> tuple:
    """The status and the content of the answer to one request."""
    body = json.dumps({"texts": texts}).encode()
    head = f"POST /predict HTTP/1.1\r\nHost: {host}\r\nContent-Type: application/json\r\nContent-Length: {len(body)}"
    writer.write(f"{head}\r\n\r\n".encode() + body)
    await writer.drain()
    status, *lines = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1").split("\r\n")
    headers = {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in lines)}
    return int(status.split()[1]), json.loads(await reader.readexactly(int(headers["content-length"])))


async def client(url: str, asked: list[list[str]], until: float, heard: Heard, check: Callable | None) -> None:
    """One client, which asks until its time is over."""
    place = urlsplit(url)
    reader, writer = await asyncio.open_connection(place.hostname, place.port)
    number = 0
    try:
        while time.monotonic() < until:
            texts, started = asked[number % len(asked)], time.perf_counter()
            number += 1
            status, content = await ask(reader, writer, place.netloc, texts)
            heard.milliseconds.append(1000 * (time.perf_counter() - started))
            heard.texts += len(texts)
            if status != 200 or len(content["answers"]) != len(texts) or (check and not check(texts, content)):
                heard.wrong.append(f"{status} {content}"[:200])
    except (OSError, EOFError, ValueError) as error:
        heard.wrong.append(f"{type(error).__name__}: {error}")
    finally:
        writer.close()


async def all_clients(url: str, number: int, seconds: float, check: Callable | None = None) -> Heard:
    """So many clients for so many seconds, each with questions of its own; what they heard."""
    asked, heard, started = questions(), Heard(), time.monotonic()
    parts = [asked[place:] + asked[:place] for place in (index * len(asked) // number for index in range(number))]
    await asyncio.gather(*(client(url, part, started + seconds, heard, check) for part in parts))
    heard.seconds = time.monotonic() - started
    return heard


def main(url: str, number: str, seconds: str) -> None:
    heard = asyncio.run(all_clients(url, int(number), float(seconds)))
    print(json.dumps(asdict(heard)))


if __name__ == "__main__":
    main(*sys.argv[1:])
