"""`python -m benchmarks`: measure, and print what came of it."""

import argparse

from rich.console import Console
from rich.table import Table

from benchmarks.cases import CASES, FULL, QUICK


def main() -> None:
    """Run the cases."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument("names", nargs="*", choices=[*CASES, []], help="cases, instead of all of them")
    parser.add_argument("--quick", action="store_true", help="a first look: a few seconds for each rate, one turn")
    given, console = parser.parse_args(), Console()
    figures = []
    for name in given.names or CASES:
        console.print(f"{name}: {CASES[name].__doc__}", style="dim")
        figures += CASES[name](QUICK if given.quick else FULL, lambda text: console.print(f"  {text}", highlight=False))
    table = Table("figure", "value", "reach", "stretch", "verdict", "note")
    for one in figures:
        table.add_row(
            one.name,
            f"{one.value:,.3g} {one.unit}",
            str(one.reach or ""),
            str(one.stretch or ""),
            one.verdict,
            one.note,
        )
    console.print(table)


if __name__ == "__main__":
    main()
