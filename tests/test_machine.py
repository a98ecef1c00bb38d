"""Cores and memory: the machine's, and a container's share of them."""

import resource

import pytest

from reid.common import machine

GB = 10 ** 9


@pytest.fixture
def container(tmp_path, monkeypatch):
    """A machine of 16 GB, 12 of them free, with a container; the function sets one file of its cgroup."""
    (tmp_path / "meminfo").write_text("MemTotal: 15625000 kB\nMemFree: 1000 kB\nMemAvailable: 11718750 "
                                      "kB\nHugePages: 0\n")
    monkeypatch.setattr(machine, "MEMINFO", tmp_path / "meminfo")
    monkeypatch.setattr(machine, "CGROUP", tmp_path)
    monkeypatch.setattr(machine.os, "sched_getaffinity", lambda process: range(8))
    monkeypatch.setattr(machine, "STATM", tmp_path / "statm")
    monkeypatch.setattr(machine.resource, "getrlimit", lambda kind: (resource.RLIM_INFINITY,) * 2)
    return lambda name, text: (tmp_path / name).write_text(f"{text}\n")


def test_without_a_container_it_is_the_machines(container):
    assert machine.memory() == (16 * GB, 12 * GB) and machine.cores() == 8
    container("memory.max", "max")
    container("cpu.max", "max 100000")
    assert machine.memory() == (16 * GB, 12 * GB) and machine.cores() == 8


def test_a_containers_share_of_the_cores_is_rounded_up(container):
    container("cpu.max", "150000 100000")
    assert machine.cores() == 2
    container("cpu.max", "1600000 100000")
    assert machine.cores() == 8


def test_as_many_threads_as_openmp_is_asked_for(container, monkeypatch):
    for asked, threads in (("3", 3), ("", 8), ("0", 8), ("many", 8)):
        monkeypatch.setenv("OMP_NUM_THREADS", asked)
        assert machine.threads() == threads
    monkeypatch.delenv("OMP_NUM_THREADS")
    assert machine.threads() == 8


def test_page_cache_is_no_use_of_a_containers_memory(container):
    container("memory.max", 4 * GB)
    container("memory.current", 3 * GB)
    container("memory.stat",
              f"anon {GB}\nfile {2 * GB}\nshmem 0\ninactive_file {GB + GB // 2}\nactive_file {GB // 2}")
    assert machine.memory() == (4 * GB, 3 * GB)


def test_shared_memory_is_a_use_of_it(container):
    container("memory.max", 4 * GB)
    container("memory.current", 3 * GB)
    container("memory.stat", f"anon {GB}\nfile {2 * GB}\nshmem {2 * GB}\ninactive_file 0\nactive_file 0")
    assert machine.memory() == (4 * GB, GB)
    container("memory.max", 2 * GB)
    assert machine.memory() == (2 * GB, 0)


def test_a_limit_of_the_process_is_one_of_its_memory(container, monkeypatch):
    """Caffe aborts where it is given no more, as under a batch system's limit."""
    monkeypatch.setattr(machine.resource, "getrlimit", lambda kind: (4 * GB, 8 * GB))
    container("statm", f"{GB // resource.getpagesize()} 1 1 1 0 1 0")
    total, free = machine.memory()
    assert total == 4 * GB and abs(free - 3 * GB) < 10 ** 4
    container("statm", f"{5 * GB // resource.getpagesize()} 1 1 1 0 1 0")
    assert machine.memory() == (4 * GB, 0)
