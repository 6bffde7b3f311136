"""CPU time and memory of a process with all its children, but for this process, which has all others as children."""

from os import getpid

import psutil


class Usage:
    """CPU seconds between `start` and `stop`, and the memory (MB of 10**6 bytes) that was resident at `stop`."""

    def __init__(self, pid: int) -> None:
        self._root = psutil.Process(pid)
        self._before: dict[int, float] = {}
        self.cpu_seconds = 0.0
        self.memory_mb = 0.0

    def start(self) -> None:
        """Begin to count."""
        self._before = {process.pid: _cpu_seconds(process) for process in self._processes()}

    def stop(self) -> None:
        """Count what was used since then."""
        processes = self._processes()
        self.cpu_seconds = sum(_cpu_seconds(one) - self._before.get(one.pid, 0.0) for one in processes)
        self.memory_mb = sum(one.memory_info().rss for one in processes) / 1e6

    def _processes(self) -> list[psutil.Process]:
        if self._root.pid == getpid():
            return [self._root]
        return [self._root, *self._root.children(recursive=True)]


def _cpu_seconds(process: psutil.Process) -> float:
    times = process.cpu_times()
    return float(times.user + times.system)
