"""`python -m benchmarks.profile`: where the service's time goes under load, as a flame graph in text.

Each line is a stack of the event loop, outermost call first, and how many samples it was seen in: the input of
flamegraph.pl, speedscope and inferno. Functions and packages that take the most time are printed.
"""

import argparse
import re
import subprocess
import sys
import threading
from collections import Counter
from pathlib import Path

from benchmarks.load import run
from benchmarks.stack import open_stack

SAMPLES_PER_SECOND = 200
SHOWN = 45
PACKAGE = re.compile(r"\((\w+)/")
LOOP = "Runner.run (asyncio/runners.py)"
LINE_NUMBER = re.compile(r":\d+\)")


def main() -> None:
    """Profile at one rate."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.profile", description=__doc__)
    parser.add_argument("--rate", type=float, default=3000, help="focus events a second")
    parser.add_argument("--seconds", type=int, default=10)
    parser.add_argument("--out", type=Path, default=Path("build/profile.txt"), help="the file to write")
    given = parser.parse_args()
    given.out.parent.mkdir(parents=True, exist_ok=True)
    with open_stack() as stack:
        load = threading.Thread(target=lambda: print(run(stack.service_target, given.rate, given.seconds + 3)))
        load.start()
        command = [str(Path(sys.executable).with_name("py-spy")), "record", "--format", "raw", "--nonblocking"]
        command = [*command, "--rate", str(SAMPLES_PER_SECOND), "--duration", str(given.seconds)]
        subprocess.run([*command, "--output", str(given.out), "--pid", str(stack.service.pid)], check=True)
        load.join()
    stacks = _stacks(given.out.read_text())
    given.out.write_text("".join(f"{stack} {samples}\n" for stack, samples in sorted(stacks.items())))
    _summarise(stacks)


def _stacks(raw: str) -> Counter[str]:
    """Samples by stack: without the numbers of lines, and without what lies before the event loop."""
    stacks: Counter[str] = Counter()
    for line in raw.splitlines():
        stack, _, samples = LINE_NUMBER.sub(")", line).rpartition(" ")
        _, loop, within = stack.rpartition(LOOP)
        stacks[loop + within] += int(samples)
    return stacks


def _summarise(stacks: Counter[str]) -> None:
    own: Counter[str] = Counter()
    within: Counter[str] = Counter()
    packages: Counter[str] = Counter()
    for stack, samples in stacks.items():
        frames = stack.split(";")
        own[frames[-1]] += samples
        for frame in set(frames):
            within[frame] += samples
        for package in {found[1] for found in map(PACKAGE.search, frames) if found}:
            packages[package] += samples
    total = own.total()
    print("own     within")
    for counter in (own, within):
        for frame, _ in counter.most_common(SHOWN):
            print(f"{own[frame] / total:6.1%} {within[frame] / total:6.1%}  {frame}")
        print()
    print("within a package")
    for package, samples in packages.most_common():
        print(f"{samples / total:6.1%}  {package}")


if __name__ == "__main__":
    main()
