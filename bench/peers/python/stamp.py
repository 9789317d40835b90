"""Texts that begin with the time since boot, in 16 digits of nanoseconds."""
import time


def stamped(length):
    return f"{time.monotonic_ns():016d}:".ljust(length, "x")
