"""Work that goes wrong on purpose; worker processes import it by name."""

import os
import signal
import time


def work(item):
    """Do what the item says: a number is doubled, a word goes wrong."""
    if item == "crash":
        os.kill(os.getpid(), signal.SIGSEGV)
    if item == "killed":
        os.kill(os.getpid(), signal.SIGKILL)
    if item == "hang":
        time.sleep(600)
    if item == "eat":
        kept = [bytearray(2**24) for _ in range(64)]
        return len(kept)
    if item == "raise":
        raise KeyError("lost")
    if item == "pid":
        return os.getpid()
    return 2 * item
