"""One thread has the model; what is asked at the same time is answered in one batch."""

import time
from collections import deque
from collections.abc import Iterator, Sequence
from concurrent.futures import Future
from dataclasses import dataclass, field
from itertools import groupby
from threading import Condition, Thread

import numpy as np

BATCH_TOKENS = 4096  # about as many are answered in one go
WAIT_SECONDS = 0.003  # for others who ask at the same time
BYTES_A_TOKEN = 4  # in UTF-8, about so, in English, Chinese and Arabic alike


class Full(Exception):
    """So many texts wait that no more are taken."""


@dataclass
class Job:
    """The texts of one request, and where their probabilities go."""

    texts: Sequence[str]
    pairs: Sequence[str] | None = None
    result: Future = field(default_factory=Future)

    @property
    def tokens(self) -> int:
        """About how many tokens they have.

        >>> Job(["Lovely food.", "好"]).tokens
        7
        """
        texts = (*self.texts, *(self.pairs or ()))
        return sum(len(text.encode()) // BYTES_A_TOKEN + 2 for text in texts)


class Worker:
    """Answers jobs with a predictor, in a thread of its own, those that wait together in one batch.

    Up to `most` texts may wait; `Full` is raised for those beyond. `close()` ends it, once all that wait are answered.

    >>> from ftcourse.inference import Predictor
    >>> from ftcourse.kit import Kit
    >>> worker = Worker(Predictor(Kit().model("stars")))
    >>> worker.ask(["Tasty!", "Cold soup."]).result().shape
    (2, 5)
    >>> worker.close()
    """

    def __init__(self, predictor, most: int = 2048):
        self.predictor, self.most = predictor, most
        self.jobs: deque[Job] = deque()
        self.texts = self.tokens = 0  # that wait
        self.closed = self.shared = False  # `shared`: whether the last batch was of more than one job
        self.changed = Condition()
        self.thread = Thread(target=self.work, name="model", daemon=True)
        self.thread.start()

    def ask(self, texts: Sequence[str], pairs: Sequence[str] | None = None) -> Future:
        """The probabilities of texts, or pairs of them, once they are worked out."""
        job = Job(texts, pairs)
        with self.changed:
            if self.closed or (self.jobs and self.texts + len(texts) > self.most):
                raise Full
            self.jobs.append(job)
            self.texts += len(texts)
            self.tokens += job.tokens
            self.changed.notify_all()
        return job.result

    def close(self) -> None:
        """Take no more jobs, and wait until those that are there are answered."""
        with self.changed:
            self.closed = True
            self.changed.notify_all()
        self.thread.join()

    def work(self) -> None:
        """What the thread does until it is closed."""
        while jobs := self.taken():
            self.shared = len(jobs) > 1
            for _, group in groupby(sorted(jobs, key=in_pairs), key=in_pairs):
                self.answer([job for job in group if job.result.set_running_or_notify_cancel()])

    def taken(self) -> list[Job]:
        """The jobs of the next batch; where several came together the last time, a moment is given to the others."""
        with self.changed:
            self.changed.wait_for(lambda: self.jobs or self.closed)
            if self.shared:
                until = time.monotonic() + WAIT_SECONDS
                while not self.closed and self.tokens < BATCH_TOKENS and (left := until - time.monotonic()) > 0:
                    self.changed.wait(left)
            return [*self.next_jobs()]

    def next_jobs(self) -> Iterator[Job]:
        """The first jobs, up to the limit of tokens, but one at the least."""
        tokens = 0
        while self.jobs and (not tokens or tokens + self.jobs[0].tokens <= BATCH_TOKENS):
            job = self.jobs.popleft()
            tokens += job.tokens
            self.texts -= len(job.texts)
            self.tokens -= job.tokens
            yield job

    def answer(self, jobs: list[Job]) -> None:
        """Answer jobs in one batch; where that fails, each by itself, so that one does not spoil the others."""
        if not jobs:
            return
        try:
            texts = [text for job in jobs for text in job.texts]
            pairs = [pair for job in jobs for pair in job.pairs] if in_pairs(jobs[0]) else None
            found = self.predictor.predict(texts, pairs).probabilities
        except Exception as error:  # whatever it is, the thread lives on
            if len(jobs) == 1:
                jobs[0].result.set_exception(error)
            else:
                for job in jobs:
                    self.answer([job])
            return
        ends = np.cumsum([len(job.texts) for job in jobs])
        for job, part in zip(jobs, np.split(found, ends[:-1]), strict=True):
            job.result.set_result(part)


def in_pairs(job: Job) -> bool:
    """Whether the texts of a job are pairs.

    >>> in_pairs(Job(["a"])), in_pairs(Job(["a"], ["b"]))
    (False, True)
    """
    return job.pairs is not None
