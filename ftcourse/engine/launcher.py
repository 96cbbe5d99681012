"""`ftcourse launch`: PyTorch's `torchrun` around `ftcourse finetune`. What goes wrong before the processes begin, such
as a machine that does not answer, or a port that is taken, is told in one line, and in time."""

import logging
import os
from collections.abc import Sequence

from ftcourse.engine.messages import trouble

START = ("finetune",)  # what several processes can do together


def launch(words: Sequence[str], processes: int, machines: int, rank: int, address: str, port: int, wait: int) -> int:
    """Start a command in so many processes on this machine, number `rank` of the `machines`; returns its exit code.

    `address` and `port` are those of the first machine. A `RuntimeError` says what kept the machines from each other:
    nobody there after `wait` seconds, or another program at the port.
    """
    if not words or words[0] not in START:
        raise trouble("launch_what", given=" ".join(words[:1]), known=", ".join(START))
    if not 0 <= rank < machines:
        raise trouble("launch_rank", given=rank, machines=machines)
    os.environ.setdefault("OMP_NUM_THREADS", str(max((os.cpu_count() or 1) // processes, 1)))
    os.environ.setdefault("TORCH_CPP_LOG_LEVEL", "FATAL")
    from torch.distributed import DistError, run
    from torch.distributed.elastic.multiprocessing.api import SignalException
    from torch.distributed.elastic.multiprocessing.errors import ChildFailedError

    options = [f"--nproc-per-node={processes}", f"--nnodes={machines}", f"--node-rank={rank}"]
    if machines > 1:
        options += [f"--master-addr={address}", f"--master-port={port}", f"--rdzv-conf=timeout={wait}"]
    before = logging.root.manager.disable
    logging.disable(logging.ERROR)  # each process says itself why it ends
    try:
        run.run(run.parse_args([*options, "-m", "ftcourse.cli", *words]))
    except ChildFailedError as error:
        _, failure = error.get_first_failure()
        return max(failure.exitcode, 1)
    except SignalException:
        raise KeyboardInterrupt from None
    except DistError as error:
        raise told(error, machines, rank, address, port, wait) from None
    finally:
        logging.disable(before)
    return 0


def told(error: Exception, machines: int, rank: int, address: str, port: int, wait: int) -> Exception:
    """The one line about machines that did not find each other.

    >>> told(RuntimeError("Timed out after 9 seconds waiting for clients. 1/2 clients joined."), 2, 0, "a", 29500, 8)
    RuntimeError('8 seconds have passed, and not all of the 2 machines are here; start the same command on each, ...')
    """
    values = {"machines": machines, "address": address, "port": port, "seconds": wait}
    if "EADDRINUSE" in str(error) or "already in use" in str(error):
        return trouble("port_taken", RuntimeError, **values)
    return trouble("first_missing" if rank else "machine_missing", RuntimeError, **values)
