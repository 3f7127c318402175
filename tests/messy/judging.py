"""What the command made of a messy shop, beside the truth."""

import csv
import io
from contextlib import redirect_stderr, redirect_stdout
from dataclasses import dataclass
from pathlib import Path
from random import Random
from tempfile import TemporaryDirectory

from tests.messy.messy import Messy, write_messily
from tests.messy.shop import Deed, Shop, draw_shop
from training.data.tables import DataError
from training.ingest.command import UNCLEAR, ImportOptions, import_files

Table = list[dict[str, str]]


@dataclass(frozen=True, kw_only=True)
class Outcome:
    """One import."""

    seed: int
    result: str
    """`imported`, `asked`, `refused`, or `wrong`."""
    plan: str
    said: str
    """Questions, the error, or the differences."""
    clear: bool

    def __str__(self) -> str:
        return f"seed {self.seed}: {self.result}\n  {self.plan}\n  {self.said}"


def judged(seed: int) -> Outcome:
    """Draw a shop, write it messily, import it and compare."""
    random = Random(seed)
    shop = draw_shop(random)
    with TemporaryDirectory() as scratch:
        folder = Path(scratch) / "given"
        folder.mkdir()
        messy = write_messily(shop, random, folder)
        out = Path(scratch) / "out"
        result, said = _imported(messy, out)
        if result == "imported":
            differences = _differences(shop, messy, out)
            result, said = ("wrong", "; ".join(differences)) if differences else (result, "")
        elif out.exists():
            result, said = "wrong", f"{result}, and wrote a folder"
    return Outcome(seed=seed, result=result, plan=messy.plan, said=said, clear=messy.clear)


def _imported(messy: Messy, out: Path) -> tuple[str, str]:
    """What the command answers to the files, each given by its name."""
    options = ImportOptions(files=sorted(messy.folder.iterdir()), out=out, encoding=messy.encoding)
    said = io.StringIO()
    try:
        with redirect_stdout(io.StringIO()), redirect_stderr(said):
            status = import_files(options)
    except DataError as error:
        return "refused", str(error)
    assert status in (0, UNCLEAR), status
    return ("asked" if status == UNCLEAR else "imported"), said.getvalue()


def _differences(shop: Shop, messy: Messy, out: Path) -> list[str]:
    """In what the data folder is not the shop."""
    rows = {(row["user_id"], row["item_id"]): row for row in _table(out / "out.inter")}
    truth = {(deed.user, deed.item): deed for deed in shop.deeds}
    truth = {pair: deed for pair, deed in truth.items() if pair not in messy.spoilt}
    if rows.keys() != truth.keys():
        lost, won = sorted(truth.keys() - rows.keys())[:2], sorted(rows.keys() - truth.keys())[:2]
        return [f"pairs {lost} became {won}"]
    found = [_of_deed(shop, messy, truth[pair], row) for pair, row in rows.items()]
    differences = [text for text in found if text][:2]
    if shop.described:
        differences += _of_items(shop, out)
    elif (out / "items.tsv").exists():
        titles = [row.get("title", "") for row in _table(out / "items.tsv")][:2]
        differences += [f"items have titles {titles}"] if any(titles) else []
    return differences


def _of_deed(shop: Shop, messy: Messy, deed: Deed, row: dict[str, str]) -> str:
    if shop.values == "none" and "rating" in row:
        return f"a value {row['rating']} out of nowhere"
    if shop.values != "none" and "rating" not in row:
        return f"{shop.values} is not there"
    if shop.values == "event" and (row["rating"] == "1") != shop.likes[str(deed.value)]:
        return f"{deed.value} is read as {row['rating']}"
    number = row.get("value", row.get("rating"))
    if shop.values in ("rating", "count") and float(number or "nan") != deed.value:
        return f"{deed.value} is read as {number}"
    if messy.moment is None:
        return f"a time {row['timestamp']} out of nowhere" if "timestamp" in row else ""
    if "timestamp" not in row:
        return "times are not there"
    step = messy.moment.step
    late = deed.time - float(row["timestamp"])
    return "" if 0 <= late < step else f"time {deed.time} is read as {row['timestamp']}"


def _of_items(shop: Shop, out: Path) -> list[str]:
    if not (out / "items.tsv").exists():
        return ["nothing is known of items"]
    table = {row["item_id"]: row for row in _table(out / "items.tsv")}
    named = {deed.item for deed in shop.deeds}
    for item in sorted(named):
        row, thing = table.get(item, {}), shop.things[item]
        if row.get("title") != thing.title:
            return [f"title {thing.title!r} is read as {row.get('title')!r}"]
        categories = [x for x in row.get("categories", "").split("|") if x]
        if categories != thing.categories:
            return [f"categories {thing.categories} are read as {categories}"]
    return []


def _table(path: Path) -> Table:
    with path.open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file, delimiter="\t", quoting=csv.QUOTE_NONE))
