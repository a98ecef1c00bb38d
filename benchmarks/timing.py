"""How long a piece of work takes."""

import time
from collections.abc import Callable
from typing import Any


def timed(work: Callable[[], Any]) -> tuple[float, Any]:
    """Seconds that `work` takes, and what it returns."""
    started = time.perf_counter()
    result = work()
    return time.perf_counter() - started, result


def seconds_of(work: Callable[[], object]) -> float:
    """Seconds that `work` takes."""
    return timed(work)[0]
