"""Progress: one line on standard error for each step."""

import sys
import time

_START = time.monotonic()


def say(text):
    """Prints a line with the minutes and seconds since the start."""
    minutes, seconds = divmod(int(time.monotonic() - _START), 60)
    print(f"[{minutes:02}:{seconds:02}] {text}", file=sys.stderr, flush=True)
