"""Functions for workers to run in the tests of the engine; some die on purpose."""

import ctypes
import os
import signal
import time

from sluice.engine import WorkerContext
from sluice.errors import RunError


def square(shared, payload, context: WorkerContext):
    return shared * payload**2


def positions(shared, payload, context: WorkerContext):
    """Work on positions 0..payload: some are poison, by what `shared` says of them."""
    done = []
    for position in range(payload):
        context.journal.mark(position)
        if position in context.poison:
            done.append(context.poison[position][0])
            continue
        match shared.get(position):
            case "segfault":
                ctypes.string_at(0)
            case "hang":
                time.sleep(60)
            case "abort":
                os.abort()
            case "exit":
                os._exit(3)
            case "memory":
                bytearray(2**34)
        done.append(position)
    return done


def whole_batch(shared, payload, context: WorkerContext):
    """Work on batches of four; the batch that holds `shared` dies unless it is taken alone and named as poison."""
    done = []
    position = 0
    while position < payload:
        size = 1 if context.is_suspect(position) or position in context.poison else 4
        batch = range(position, min(payload, position + size))
        if len(batch) == 1 and position in context.poison:
            done.append("poison")
        else:
            context.journal.mark(batch.start, batch.stop)
            if shared in batch:
                os.kill(os.getpid(), signal.SIGSEGV)
            done += batch
        position = batch.stop
    return done


def killed_once(shared, payload, context: WorkerContext):
    """Be killed from outside once, at a position that is not to blame."""
    context.journal.mark(payload)
    if not os.path.exists(shared):
        open(shared, "w").close()
        os.kill(os.getpid(), signal.SIGKILL)
    return [*context.poison]


def dies_blindly(shared, payload, context: WorkerContext):
    os._exit(9)


def raises(shared, payload, context: WorkerContext):
    raise {"ours": RunError("mend this"), "bug": ValueError("a bug")}[shared]


def sleeps(shared, payload, context: WorkerContext):
    open(os.path.join(shared, str(os.getpid())), "w").close()
    time.sleep(60)


def allocator(shared, payload, context):
    """What Arrow allocates with in this process."""
    import pyarrow as pa

    return pa.default_memory_pool().backend_name


def keeps(shared, payload, context: WorkerContext):
    """Work on positions 0..payload, each a piece, and say in the file `shared` which were worked on."""
    folder, poison = shared
    done = [*context.finished]
    for position in range(len(done), payload):
        context.journal.mark(position)
        if position not in context.poison:
            with open(os.path.join(folder, "worked"), "a") as log:
                log.write(f"{position} ")
            if position in poison:
                os.kill(os.getpid(), signal.SIGSEGV)
        piece = "poison" if position in context.poison else position
        context.keep(piece)
        done.append(piece)
    return done


def process(shared, payload, context: WorkerContext):
    time.sleep(0.02)
    return os.getpid()


def loses_its_host(shared, payload, context: WorkerContext):
    """Have what watches this process be killed, with it: once, if `shared` names a file."""
    if not os.path.exists(shared):
        if shared:
            open(shared, "w").close()
        os.kill(os.getppid(), signal.SIGKILL)
        time.sleep(60)
    return payload


def gpu(shared, payload, context: WorkerContext):
    time.sleep(0.02)
    return os.environ.get("CUDA_VISIBLE_DEVICES"), os.getpid()
