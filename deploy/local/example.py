"""The command `example`: the files of a small shop, to follow docs/tutorial.md with.

The products are a file beside this one. The orders are made from a seed: every customer has one or
two favourite categories, buys mostly there, and sometimes looks elsewhere.
"""

import csv
import random
import shutil
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import click

from training.errors import ExplainedError

PRODUCTS = Path(__file__).with_name("shop") / "products.csv"
ORDERS = 300
CUSTOMERS = 40
_SEED = 7
_FIRST_DAY = datetime(2026, 1, 5, 8, tzinfo=UTC)
_MINUTES_BETWEEN = 570
_FROM_FAVOURITES = 0.9
_HEADER = ("order_id", "customer_id", "product_id", "ordered_at")


class ExampleExists(ExplainedError):
    """The folder has files already."""


@click.command()
@click.argument("folder", type=click.Path(path_type=Path), default=Path("shop"))
def example(folder: Path) -> None:
    """Write the files of a small shop, 48 products and 300 orders, into FOLDER  [default: shop].

    docs/tutorial.md leads from them to a served list.
    """
    if folder.exists() and any(folder.iterdir()):
        raise ExampleExists(f"{folder} has files already; name a folder that is new or empty")
    folder.mkdir(parents=True, exist_ok=True)
    shutil.copyfile(PRODUCTS, folder / PRODUCTS.name)
    with (folder / "orders.csv").open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(_HEADER)
        writer.writerows(orders())
    click.echo(f"{folder}: products.csv and orders.csv\nnext: magnet import {folder} --out NAME")


def orders() -> Iterator[tuple[str, str, str, str]]:
    """Rows of `_HEADER`, oldest first; the same ones every time."""
    choose = random.Random(_SEED)
    with PRODUCTS.open(encoding="utf-8", newline="") as file:
        products = [(row["product_id"], row["category"]) for row in csv.DictReader(file)]
    categories = sorted({category for _, category in products})
    customers = [f"c{number:02d}" for number in range(1, CUSTOMERS + 1)]
    favourites = {each: choose.sample(categories, choose.choice((1, 2))) for each in customers}
    bought: dict[str, set[str]] = {each: set() for each in customers}
    for number in range(ORDERS):
        # Everybody orders before anybody orders again.
        customer = customers[number] if number < CUSTOMERS else choose.choice(customers)
        known = choose.random() < _FROM_FAVOURITES
        fitting = [
            product
            for product, category in products
            if product not in bought[customer] and (not known or category in favourites[customer])
        ]
        product = choose.choice(fitting or [product for product, _ in products])
        bought[customer].add(product)
        when = _FIRST_DAY + timedelta(minutes=number * _MINUTES_BETWEEN)
        yield f"{1000 + number}", customer, product, f"{when:%Y-%m-%dT%H:%M}"
