"""`python -m benchmarks`: measure, print what came of it, and write benchmarks/results.md."""

import argparse
import signal
import sys

from rich.console import Console

from benchmarks.cases import CASES, FULL, QUICK
from benchmarks.report import regressions, table, write


def main() -> int:
    """Exit code 1 when something is slower than it was."""
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))  # what was started is to be stopped
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument("names", nargs="*", metavar="CASE", help=f"instead of all of them: {', '.join(CASES)}")
    parser.add_argument(
        "--quick", action="store_true", help="a first look: a few seconds for each rate, nothing written"
    )
    parser.add_argument(
        "--check", action="store_true", help="compare the ratio to the echo (case focus) with the committed one"
    )
    given, console = parser.parse_args(), Console()
    if unknown := set(given.names) - CASES.keys():
        parser.error(f"no such case: {', '.join(sorted(unknown))}; there are {', '.join(CASES)}")
    results = {}
    for name in given.names or CASES:
        console.print(f"{name}: {CASES[name].__doc__}", style="dim")
        results[name] = CASES[name](
            QUICK if given.quick else FULL, lambda text: console.print(f"  {text}", markup=False, highlight=False)
        )
        console.print(table(results[name]))
    if given.check:
        try:
            slower = regressions([figure for figures in results.values() for figure in figures])
        except ValueError as error:
            parser.error(str(error))
        console.print("\n".join(slower) or "nothing is slower than it was", markup=False)
        return 1 if slower else 0
    if not given.quick:
        write(results)
    return 0


if __name__ == "__main__":
    sys.exit(main())
