"""Runs a chapter once, and from then on judges answers to its exercises. Each learner's cells run in a copy of this
process in a sandbox; a second copy, which those cells cannot reach, asks the conditions. Started by `judge.Judge`."""

import importlib
import io
import json
import os
import pickle
import select
import socket
import struct
import sys
import time
from contextlib import suppress
from pathlib import Path

from ftcourse.engine.messages import message
from ftcourse.grading import carry, sandbox
from ftcourse.grading.carry import Gone
from ftcourse.grading.notebooks import answer_names, checks, prepared

REPORT = 100_000  # bytes of what a cell's end is told with
RESTARTS = 8  # as often may a notebook end its process; then what has no verdict yet gets none


class Learner:
    """The inside of the sandbox: runs cells, hands over answers, and lets their functions be called."""

    def __init__(self, sock: socket.socket, shell, names: dict[int, str]):
        self.sock, self.shell, self.names, self.functions = sock, shell, names, []

    def serve(self) -> None:
        """Does what it is asked, until nobody asks any more."""
        with suppress(Gone):
            while True:
                kind, *words = self.read()
                getattr(self, kind)(*words)

    def read(self) -> tuple:
        """What the trusted side sends."""
        (size,) = struct.unpack("!Q", carry.receive_bytes(self.sock, 8, float("inf")))
        return self.load(carry.receive_bytes(self.sock, size, float("inf")))

    def load(self, content: bytes) -> tuple:
        """A message with what is lent in it."""
        return carry.Borrower(io.BytesIO(content), self.ask).load()

    def reply(self, kind: str, value: object) -> None:
        """Sends a value."""
        packer = carry.Packer(self.names, self.functions)
        try:
            tree = packer.pack(value)
        except RecursionError:
            tree = {"kind": "thing", "type": type(value).__name__}
        carry.send(self.sock, [kind, tree], packer.blobs)

    def run(self, source: str) -> None:
        """Runs a cell, and tells the error that stopped it."""
        result = self.shell.run_cell(source, store_history=False)
        error = result.error_before_exec or result.error_in_exec
        carry.send(self.sock, ["ran", error and f"{type(error).__name__}: {error}"[:500]])

    def answer(self, name: str) -> None:
        """Hands over an answer."""
        self.guarded("value", lambda: self.shell.user_ns.get(name, ...))

    def call(self, number: int, words: tuple, named: dict) -> None:
        """Calls a function of the answer."""
        self.guarded("value", lambda: self.functions[number](*words, **named))

    def guarded(self, kind: str, get) -> None:
        """Sends what a function returns, or the error that it raises."""
        try:
            self.reply(kind, get())
        except Gone:
            raise
        except BaseException as error:
            carry.send(self.sock, ["raised", [type(error).__name__, str(error)[:500]]])

    def ask(self, number: int, name: str, words: tuple, named: dict) -> object:
        """Has something done with what was lent, by its owner."""
        packer = carry.Packer(self.names, self.functions)
        tree = packer.pack({"words": words, "named": named})
        carry.send(self.sock, ["ask", number, name, tree], packer.blobs)
        kind, value = self.read()
        if kind == "error":
            raise carry.failed(*value)
        return value


class Judged:
    """The trusted side: builds answers from what arrives, and calls their functions where they are."""

    def __init__(self, sock: socket.socket, known: dict, deadline: float):
        self.sock, self.known, self.deadline, self.lent = sock, known, deadline, []

    def answer(self, name: str) -> object:
        """An answer, built anew."""
        return self.conversation(("answer", name))

    def call(self, number: int, words: tuple, named: dict) -> object:
        """What a function of the answer returns."""
        return self.conversation(("call", number, words, named))

    def tell(self, message: tuple) -> None:
        """Sends something to the learner's side."""
        content = carry.lend(message, self.lent)
        try:
            self.sock.settimeout(max(self.deadline - time.monotonic(), 0.1))
            self.sock.sendall(struct.pack("!Q", len(content)) + content)
        except TimeoutError:
            raise
        except OSError as error:
            raise Gone(str(error)) from None

    def conversation(self, message: tuple) -> object:
        """Asks, does what is asked in between with what was lent, and gets the value; or raises its error."""
        self.tell(message)
        while True:
            (kind, *rest), blobs = carry.receive(self.sock, self.deadline)
            unpacker = carry.Unpacker(blobs, self.known, self.call, self.lent)
            if kind == "ask":
                number, name, tree = rest
                self.tell(self.done(number, name, unpacker.unpack(tree)))
            elif kind == "raised":
                raise carry.failed(*map(str, rest[0]))
            else:
                return unpacker.unpack(rest[0])

    def done(self, number: int, name: str, given: dict) -> tuple:
        """Does one of the few things that are allowed with what was lent."""
        if name not in carry.STEPS:
            raise Gone("refused")
        try:
            return "value", getattr(self.lent[number], name)(*given["words"], **given["named"])
        except Exception as error:
            return "error", (type(error).__name__, str(error))


class Bench:
    """A chapter that was run, and answers that are judged on it."""

    def __init__(self, chapter: str, lang: str, scratch: Path, seconds: float, memory: int):
        self.chapter, self.lang, self.scratch = chapter, lang, scratch
        self.seconds, self.memory, self.fences = seconds, memory, None
        self.names, self.checks = answer_names(chapter, lang), checks(chapter, lang)
        self.shell = self.prepare()
        plain = (bool, int, float, str, list, dict, tuple, set, type(None))
        named = {k: v for k, v in self.shell.user_ns.items() if not k.startswith("_") and not isinstance(v, plain)}
        self.known, self.places = named, {id(value): name for name, value in named.items()}
        self.learner = self.sock = None

    def prepare(self):
        """Runs the chapter's code up to its exercises."""
        from IPython.core.history import HistoryManager
        from IPython.core.interactiveshell import InteractiveShell

        from ftcourse.engine import lesson

        HistoryManager.enabled = False
        lesson.NUM_THREADS = 1  # a copy of a process has none of its other threads
        importlib.import_module(f"ftcourse.exercises.{self.chapter.split('_', 1)[1]}")
        shell = InteractiveShell.instance()
        for cell in prepared(self.chapter, self.lang):
            result = shell.run_cell(cell["source"], store_history=False)
            error = result.error_before_exec or result.error_in_exec
            if error is not None and not isinstance(error, AssertionError):  # those are bands of the prose
                raise RuntimeError(f"{self.chapter}, {cell['id']}: {type(error).__name__}: {error}")
        return shell

    def say(self, key: str, **values) -> str:
        """A message to the learner."""
        return message(self.lang, "grading", key, **values)

    def judge(self, steps: list) -> dict[int, list]:
        """The verdicts on the answers among somebody's cells, by exercise: whether it is solved, and what to say."""
        fatal, verdicts = {}, {}
        for _ in range(RESTARTS):
            if self.through(steps, fatal, verdicts):
                break
            self.stop()  # a cell ended the process or went on for ever: begin anew, without that cell
        self.stop()
        return verdicts

    def through(self, steps: list, fatal: dict[int, str], verdicts: dict[int, list]) -> bool:
        """Runs cells in order; False where one of them, now in `fatal`, ended the process."""
        self.start()
        errors: dict[int, str] = {}
        for place, (kind, number, source) in enumerate(steps):
            if kind == "check":
                if number not in verdicts:
                    verdicts[number] = self.verdict(number, errors)
                    if not self.alive():
                        return False
                continue
            if place in fatal:
                error = fatal[place]
            else:
                error, end = self.run(source)
                if end:
                    fatal[place] = error
                    if kind == "answer" and not any(step[:2] == [kind, number] for step in steps[place + 1 :]):
                        verdicts.setdefault(number, [False, error])
                    return False
                error = error and self.say("stopped", error=error)
            if kind == "answer":  # of several, the last counts
                errors.pop(number, None)
                errors |= {number: error} if error else {}
        return True

    def start(self) -> None:
        """A copy of this process in a sandbox, for the learner's cells."""
        self.sock, theirs = socket.socketpair()
        inside = Learner(theirs, self.shell, self.places)
        budget = int(self.seconds * 20)
        self.learner = sandbox.spawn(inside.serve, [theirs.fileno()], self.scratch, self.memory, budget)
        self.fences = self.learner.fences
        theirs.close()

    def stop(self) -> None:
        """Ends the learner's process with all that it started."""
        if self.learner:
            self.learner.kill()
            self.sock.close()
            self.learner = None

    def alive(self) -> bool:
        """Whether the learner's process still is there."""
        return self.learner is not None

    def run(self, source: str) -> tuple[str | None, bool]:
        """Runs a cell: the error that stopped it or None, and whether that was the end of the process."""
        try:
            content = pickle.dumps(("run", source))
            self.sock.settimeout(self.seconds)
            self.sock.sendall(struct.pack("!Q", len(content)) + content)
            told, _ = carry.receive(self.sock, time.monotonic() + self.seconds, REPORT)
            return (told[1] and str(told[1])[:500]), False
        except TimeoutError:
            return self.say("endless", seconds=round(self.seconds)), True
        except (OSError, TypeError, IndexError, KeyError):
            return self.say("crashed"), True

    def verdict(self, number: int, errors: dict[int, str]) -> list:
        """What the conditions say about an answer, asked in a process of their own."""
        if number in errors:
            return [False, errors[number]]
        told, tell = os.pipe()
        deadline = time.monotonic() + self.seconds

        def ask() -> None:
            solved, text, ended = self.asked(number, deadline)
            os.write(tell, json.dumps([solved, text[:2000], ended]).encode())

        judge = sandbox.spawn(ask, [tell, self.sock.fileno()], self.scratch, 2 * self.memory, int(self.seconds * 4))
        os.close(tell)
        content = b""
        while (left := deadline + 1 - time.monotonic()) > 0:
            if not select.select([told], [], [], left)[0]:
                break
            part = os.read(told, 65536)
            if not part:
                break
            content += part
        os.close(told)
        judge.kill()
        late = time.monotonic() >= deadline
        try:
            solved, text, ended = json.loads(content)
        except ValueError:
            solved, text, ended = False, self.say("endless", seconds=round(self.seconds)) if late else "", True
            text = text or self.say("crashed")
        if ended:
            self.stop()
        return [bool(solved), text]

    def asked(self, number: int, deadline: float) -> tuple[bool, str, bool]:
        """Inside the judging process: the verdict, and whether the learner's process is of no use any more."""
        judged = Judged(self.sock, self.known, deadline)
        ended = []

        def away(number: int, words: tuple, named: dict) -> object:
            try:
                return Judged.call(judged, number, words, named)
            except (Gone, TimeoutError) as error:
                ended.append(error)
                raise

        judged.call = away
        os.chdir(self.scratch)
        space = self.shell.user_ns
        try:
            space[self.names[number]] = judged.answer(self.names[number])
            verdict = eval(self.checks[number], space)
            solved, text = verdict.solved, verdict.text
        except (Gone, TimeoutError) as error:
            ended.append(error)
        except Exception as error:
            solved, text = False, self.say("stopped", error=f"{type(error).__name__}: {error}")
        if not ended:
            return solved, text, False
        late = any(isinstance(error, TimeoutError) for error in ended)
        return False, self.say("endless", seconds=round(self.seconds)) if late else self.say("crashed"), True


def main() -> None:
    """Reads lines from the standard input: lists of cells; writes lines: verdicts."""
    asked = json.loads(sys.argv[1])
    requests, replies = os.fdopen(os.dup(0), encoding="utf-8"), os.fdopen(os.dup(1), "w", encoding="utf-8")
    nothing = os.open(os.devnull, os.O_RDWR)
    os.dup2(nothing, 0)
    os.dup2(2, 1)

    def reply(value: object) -> None:
        print(json.dumps(value), file=replies, flush=True)

    scratch = Path(asked["scratch"])
    os.chdir(scratch)
    try:
        bench = Bench(asked["chapter"], asked["lang"], scratch, asked["seconds"], asked["memory"])
    except Exception as error:
        reply({"failed": f"{error}"})
        return
    sandbox.hide_memory()
    bench.start()  # to see which fences can be had, before anybody's cells are run
    bench.stop()
    reply({"ready": True, "fences": bench.fences})
    for line in requests:
        verdicts = bench.judge(json.loads(line))
        reply({"verdicts": verdicts, "fences": bench.fences})


if __name__ == "__main__":
    main()
