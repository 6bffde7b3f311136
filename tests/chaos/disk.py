"""A small disk for the database, which can be filled and freed."""

import os
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

BLOCK = bytes(1 << 16)


class NoSmallDisk(Exception):
    """A small disk cannot be had on this machine."""


@contextmanager
def small_disk(place: Path, mib: int) -> Iterator[None]:
    """A file system in memory at this place. Raises NoSmallDisk."""
    mount = shutil.which("mount")
    if os.geteuid() != 0 or mount is None:
        raise NoSmallDisk("only root may mount a small file system")
    place.mkdir()
    command = [mount, "-t", "tmpfs", "-o", f"size={mib}m,mode=0755", "tmpfs", str(place)]
    done = subprocess.run(command, capture_output=True, timeout=10, check=False)
    if done.returncode != 0:
        raise NoSmallDisk(f"a small file system cannot be mounted here: {done.stderr.decode().strip()}")
    try:
        yield
    finally:
        subprocess.run(["umount", "--lazy", str(place)], timeout=10, check=True)


@contextmanager
def filled(place: Path) -> Iterator[None]:
    """No byte is free for so long."""
    ballast = place / "ballast"
    try:
        with suppress(OSError), ballast.open("wb", buffering=0) as file:
            while file.write(BLOCK):
                pass
        yield
    finally:
        ballast.unlink(missing_ok=True)
