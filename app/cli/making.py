"""What is made ahead: an artificial shop, the generated files."""

from pathlib import Path
from typing import Annotated

import typer

from app.cli.work import PROJECT


def datagen(
    out: Annotated[Path, typer.Option(help="Where to write the four CSV files.")] = PROJECT / "data4db",
    seed: Annotated[int | None, typer.Option(help="The same seed makes the same shop.")] = None,
    customers: Annotated[int, typer.Option(min=1)] = 1000,
    products: Annotated[int, typer.Option(min=25)] = 3000,
    coupons: Annotated[int, typer.Option(min=5)] = 1000,
    year: Annotated[int | None, typer.Option(help="Year of the coupons' dates.", min=1972, max=9999)] = None,
    history: Annotated[Path | None, typer.Option(help="Where to write purchases and coupon use as well.")] = None,
    years: Annotated[int, typer.Option(help="How many years the history goes back.", min=1, max=20)] = 2,
) -> None:
    """Make an artificial shop: customers, products, coupons, and the history behind them."""
    from app.datagen import generate
    from app.datagen.files import write_dataset, write_history

    shop = generate.generate(
        generate.DEFAULT_SEED if seed is None else seed,
        customers=customers,
        products=products,
        coupons=coupons,
        year=generate.DEFAULT_YEAR if year is None else year,
        years=years,
    )
    write_dataset(shop, out)
    typer.echo(
        f"{out}: {len(shop.contexts):,} customers, {len(shop.products):,} products, {len(shop.coupons):,} coupons"
    )
    if history is not None:
        write_history(shop, history)
        typer.echo(f"{history}: purchases and coupon use")


def schema(
    check: Annotated[bool, typer.Option("--check", help="Change nothing; exit code 1 when a file is stale.")] = False,
) -> None:
    """Write the files that are generated from the code: schemas, configuration."""
    from app import generated

    stale = generated.stale_files(PROJECT)
    for path, text in stale.items():
        if check:
            typer.echo(f"stale: {path.relative_to(PROJECT)}; run `python -m app schema`", err=True)
        else:
            path.write_text(text, encoding="utf-8")
            typer.echo(f"written: {path.relative_to(PROJECT)}")
    if stale and check:
        raise typer.Exit(1)
