"""Answers for the rows of a table in several processes: each takes the next shard of rows that nobody has, and what it
wrote joins the one file in the order of the rows. A process that is lost costs its shard, which is done again."""

import multiprocessing
import os
import pickle
import signal
import threading
import warnings
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from itertools import chain
from multiprocessing.connection import Connection, wait
from multiprocessing.process import BaseProcess
from pathlib import Path

import pandas as pd
import torch
from tqdm.auto import tqdm

from ftcourse.engine.answers import (
    TOGETHER,
    Asked,
    Rows,
    answer_shard,
    join,
    make_bar,
    progress,
    settle,
    settled,
    shard_of,
)
from ftcourse.engine.messages import in_words, language, trouble, use_language
from ftcourse.engine.processes import is_out_of_memory
from ftcourse.engine.progress import quiet_libraries
from ftcourse.engine.tables import written

TRIES = 2  # how often a shard may end the process that has it


def threads_of(processes: int) -> int:
    """How many threads each of the processes gets: together as many as one process would take.

    >>> threads_of(10_000)
    1
    """
    return max(torch.get_num_threads() // processes, 1)


def on_disk(rows: Rows, folder: str) -> Rows:
    """The same rows in files, which all processes map and none of them copies, where they are in memory.

    >>> from tempfile import TemporaryDirectory
    >>> from ftcourse.engine.tables import plain_rows
    >>> frame, source = pd.DataFrame({"id": [7], "review": ["Good."]}), {"name": "a.json", "columns": ["review"]}
    >>> with TemporaryDirectory() as folder:
    ...     found = on_disk(Rows(plain_rows(frame, source, ["text"]), frame, {"id": "id"}, source), folder)
    ...     found.texts[0], found.beside(0, 1)
    ({'text': 'Good.'}, [('7',)])
    """
    if not isinstance(rows.table, pd.DataFrame):
        return rows

    def copied(names: list[str], batches: Callable[[int, int], list]):
        cells = ((start, [*row]) for start in range(0, len(rows.texts), TOGETHER) for row in batches(start, TOGETHER))
        return written(chain([(0, names)], cells), rows.source | {"columns": names}, folder)

    def texts(start: int, number: int) -> list:
        return [*zip(*rows.texts[start : start + number].values(), strict=True)]

    names = [str(number) for number in range(len(rows.columns))]
    beside = copied(names, lambda start, number: rows.beside(start, start + number))
    columns = dict(zip(names, rows.columns.values(), strict=True))
    return Rows(copied(rows.texts.column_names, texts), beside, columns, rows.source)


@dataclass
class Worker:
    """A process, the link to it, and the first row of the shard that it has."""

    process: BaseProcess
    link: Connection
    start: int


@contextmanager
def interrupts_held() -> Iterator[None]:
    """While it lasts, Ctrl-C waits; the processes that are started meanwhile never hear it, and are ended instead."""
    if not hasattr(signal, "pthread_sigmask"):
        yield
        return
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def end_with(sentinel: int) -> None:
    """End this process at once when the one that started it is gone, however that ended."""
    wait([sentinel])
    os._exit(1)


def work(load: Callable, model: Path, how: dict, rows: Rows, raw: bool, lang: str, threads: int, link: Connection):
    """What each process does: it answers one shard after the other, as the link tells, and tells what went wrong."""
    use_language(lang)
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    watch = multiprocessing.parent_process().sentinel
    threading.Thread(target=end_with, args=[watch], daemon=True).start()
    tqdm.set_lock(threading.RLock())  # the usual one is shared with other processes, and outlasts one that is killed
    os.environ["RAYON_NUM_THREADS"] = str(threads)  # of the tokenizer
    torch.set_num_threads(threads)
    with suppress(EOFError, BrokenPipeError), quiet_libraries():
        try:
            predictor = load(model, **how)
            for path, start in iter(link.recv, None):
                answer_shard(path, start, rows, predictor, raw)
                link.send(None)
        except (OSError, ValueError, RuntimeError, MemoryError) as error:
            link.send(sendable(error))


def sendable(error: Exception) -> Exception:
    """An error that another process can read: itself or, where it cannot be sent, one with the same words.

    >>> sendable(ValueError("no text"))
    ValueError('no text')
    """
    try:
        pickle.loads(pickle.dumps(error))
        return error
    except Exception:
        return RuntimeError(str(error))


def context() -> multiprocessing.context.BaseContext:
    """How processes are started: from one that has loaded the libraries for all of them, where the system can do that.

    >>> context().get_start_method() in ("forkserver", "spawn")
    True
    """
    if "forkserver" not in multiprocessing.get_all_start_methods():
        return multiprocessing.get_context("spawn")
    found = multiprocessing.get_context("forkserver")
    found.set_forkserver_preload(["ftcourse.inference"])
    return found


class Crew:
    """Processes that answer shards: `do` gives one a shard, `done` tells which are whole."""

    def __init__(self, number: int, *job):
        self.number, self.job, self.threads = number, job, threads_of(number)
        self.context, self.workers = context(), []
        self.idle: list[Worker] = []

    def __enter__(self):
        return self

    def __exit__(self, *_):
        for worker in self.workers:
            worker.process.kill()
        for worker in self.workers:
            worker.process.join()
            worker.link.close()

    @property
    def free(self) -> bool:
        """Whether there is somebody for another shard."""
        return bool(self.idle) or len(self.workers) < self.number

    @property
    def busy(self) -> bool:
        """Whether anybody is at work."""
        return len(self.workers) > len(self.idle)

    def do(self, path: Path, start: int) -> None:
        """Give a shard to a process that is idle, or to a new one."""
        worker = self.idle.pop() if self.idle else self.hired()
        worker.start = start
        with suppress(OSError):  # of a process that is gone, which `done` tells
            worker.link.send((path, start))

    def hired(self) -> Worker:
        """A new process."""
        here, there = self.context.Pipe()
        process = self.context.Process(target=work, args=[*self.job, self.threads, there], daemon=True)
        with interrupts_held():
            process.start()
            self.workers.append(Worker(process, here, 0))
        there.close()
        return self.workers[-1]

    def done(self) -> Iterator[tuple[int, BaseException | int | None]]:
        """Wait for processes; give for each one its shard and None, or what went wrong: an error, or its exit code."""
        at_work = {worker.link: worker for worker in self.workers if worker not in self.idle}
        for link in wait([*at_work]):
            worker = at_work[link]
            try:
                problem = link.recv()
            except (EOFError, OSError):
                worker.process.join()
                problem = worker.process.exitcode
            if problem is None:
                self.idle.append(worker)
            else:
                self.workers.remove(worker)
                worker.process.kill()
                worker.process.join()
                link.close()
            yield worker.start, problem


def write_shards(
    part: Path, rows: Rows, load: Callable, model: Path, asked: Asked, number: int, folder: str
) -> dict[str, int]:
    """Write the answers for all rows to a CSV, in so many processes, after those that are there; returns the counts.

    A shard whose process is lost is done again. Where that happens twice, a `RuntimeError` names its rows; all other
    answers that are written are kept.
    """
    counts, lost, again = join(part), Counter(), []
    rows, done, size = on_disk(rows, folder), counts["rows"], len(rows.texts)
    fresh = (start for start in range(done, size, TOGETHER) if not progress(shard_of(part, start)))
    shard_of(part, 0).parent.mkdir(exist_ok=True)
    how = asked.how
    if how.get("precision") == "auto":
        own = torch.get_num_threads()
        torch.set_num_threads(threads_of(number))  # as those who answer have it
        try:
            how = how | {"precision": settled(part) or settle(part, rows, load(model, **how))}
        finally:
            torch.set_num_threads(own)
    job = load, model, how, rows, asked.raw, language()
    with make_bar(rows, done) as bar, Crew(number, *job) as crew:
        while True:
            while crew.free and (start := again.pop() if again else next(fresh, None)) is not None:
                crew.do(shard_of(part, start), start)
            if not crew.busy:
                return join(part)
            for start, problem in crew.done():
                if problem is None:
                    bar.update(min(TOGETHER, size - start))
                    continue
                last = {"first": start + 1, "last": min(start + TOGETHER, size), "name": rows.source["name"]}
                lost[start] += 1
                if isinstance(problem, BaseException) and not (is_out_of_memory(problem) and lost[start] < TRIES):
                    raise problem
                if lost[start] == TRIES:
                    raise trouble("shard_lost", RuntimeError, code=problem, **last)
                warnings.warn(in_words("shard_again", code=problem, **last), stacklevel=2)
                again.append(start)
            join(part)
