"""The machine: cores and memory that this process may use, within the limits of a container."""

import math
import os
import platform
import resource
from pathlib import Path

CGROUP = Path("/sys/fs/cgroup")    # version 2; inside a container its root is the container's own
MEMINFO = Path("/proc/meminfo")
CPUINFO = Path("/proc/cpuinfo")
STATM = Path("/proc/self/statm")    # pages of this process's address space, first


def describe() -> str:
    """Processor, cores and memory that this process may use: "AMD EPYC, 2 cores, 16 GB, Linux 6.1"."""
    model = (line.partition(":")[2].strip() for line in CPUINFO.read_text().splitlines()
             if line.startswith("model name"))
    name = next(model, platform.machine())
    system = f"{platform.system()} {platform.release()}"
    return f"{name}, {cores()} {'core' if cores() == 1 else 'cores'}, {memory()[0] / 1e9:.0f} GB, {system}"


def cores() -> int:
    """Cores that this process may use: its affinity, and the share that a container was given."""
    granted = len(os.sched_getaffinity(0))
    share = CGROUP / "cpu.max"
    quota, period = share.read_text().split() if share.is_file() else ("max", "1")
    return granted if quota == "max" else min(granted, math.ceil(int(quota) / int(period)))


def threads() -> int:
    """Threads that compute unless a run says how many: OMP_NUM_THREADS, which is OpenMP's, or cores()."""
    asked = os.environ.get("OMP_NUM_THREADS", "")
    return int(asked) if asked.isdecimal() and int(asked) else cores()


def memory() -> tuple[int, int]:
    """Total and free memory in bytes, within the limits of a container and of this process (ulimit -v).

    A container's memory use includes cached pages of files; the kernel frees these when memory is needed, so
    they count as free here.
    """
    kilobytes = _numbers(MEMINFO)
    total, free = 1024 * kilobytes["MemTotal:"], 1024 * kilobytes["MemAvailable:"]
    limit = CGROUP / "memory.max"
    if limit.is_file() and limit.read_text().strip() != "max":
        total = min(total, int(limit.read_text()))
        pages = _numbers(CGROUP / "memory.stat")
        used = int((CGROUP / "memory.current").read_text()) - pages["active_file"] - pages["inactive_file"]
        free = max(0, min(free, total - used))
    limit = resource.getrlimit(resource.RLIMIT_AS)[0]
    if limit != resource.RLIM_INFINITY:
        used = int(STATM.read_text().split()[0]) * resource.getpagesize()
        total, free = min(total, limit), max(0, min(free, limit - used))
    return total, free


def loaded(part: str) -> list[str]:
    """Paths of the shared libraries in this process whose file name holds `part`."""
    maps = os.fsdecode(Path("/proc/self/maps").read_bytes())    # names need not be UTF-8
    lines = (line.split(maxsplit=5) for line in maps.splitlines())
    paths = {words[5] for words in lines if len(words) == 6}
    return sorted(path for path in paths if part in Path(path).name and ".so" in path)


def _numbers(file: Path) -> dict[str, int]:
    """The numbers of a file of lines "name number …"."""
    lines = (line.split() for line in file.read_text().splitlines())
    return {words[0]: int(words[1]) for words in lines}
