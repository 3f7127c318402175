"""Writes a shop's truth down as shops do: in other words, and with much beside the point."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from random import Random

from tests.messy.shop import Deed, Shop
from tests.messy.styles import Style, counts, moments, native_moments, ratings
from tests.messy.words import DECOYS, GOOD_STATES, NAMES, PEOPLE
from tests.messy.writing import (
    DELIMITED,
    FOREIGN,
    KINDS,
    NESTING,
    Column,
    Format,
    draw_format,
    exact,
    write_table,
)

_FILES = {
    "interactions": ["orders", "export", "ratings", "events", "Bestellungen", "data"],
    "items": ["products", "items", "catalogue", "Artikel", "produits"],
    "people": ["customers", "users", "Kunden", "clients"],
}


@dataclass(frozen=True, kw_only=True)
class Messy:
    """Files on the disk, and what must become of them."""

    folder: Path
    encoding: str | None
    """What the command is told."""
    clear: bool
    """Whether the files say all that is needed."""
    moment: Style | None
    plan: str
    """How they are written, for people."""
    spoilt: set[tuple[str, str]]
    """Pairs whose rows cannot be used."""


def write_messily(shop: Shop, random: Random, folder: Path) -> Messy:
    """Write a shop into a folder."""
    writer = _Writer(shop, random, folder)
    shape = random.choices(["long", "parts", "wide", "baskets"], [80, 14, 3, 3])[0]
    if shape == "wide":
        writer.write_wide()
    elif shape == "baskets":
        writer.write_baskets()
    else:
        writer.write_long(1 if shape == "long" else 3)
    if shop.described and not writer.described:
        writer.write_items()
    if random.random() < 0.3:
        writer.write_people()
    return writer.done(shape)


class _Writer:
    """Draws one style after the other, and notes what it has drawn."""

    def __init__(self, shop: Shop, random: Random, folder: Path) -> None:
        self.shop, self.random, self.folder = shop, random, folder
        self.language = random.choice(["en", "en", "en", *NAMES])
        self.moment = moments(random) if shop.timed else None
        self.described = False
        self.encodings: set[str] = set()
        self.spoilt: set[tuple[str, str]] = set()
        self.notes: list[str] = [self.language]
        self.clear = self.moment is None or not self.moment.unclear
        if self.moment is not None:
            self.notes.append(f"times: {self.moment.name}")

    def done(self, shape: str) -> Messy:
        """What has been written."""
        foreign = self.encodings.intersection(FOREIGN)
        named = min(foreign, default=None) if self.random.random() < 0.7 else None
        return Messy(
            folder=self.folder,
            encoding=named,
            clear=self.clear and shape not in ("wide", "baskets") and foreign in (set(), {named}),
            moment=self.moment,
            plan=f"{shape}; {'; '.join(self.notes)}; --encoding {named}",
            spoilt=self.spoilt,
        )

    def name(self, role: str) -> str:
        """What a column of this role is called here."""
        return self.random.choice(NAMES[self.language][role])

    def write_long(self, parts: int) -> None:
        """One row for each deed, in one file or several."""
        kind = self.random.choice(KINDS)
        nested = kind in NESTING and self.random.random() < 0.4
        if kind == "parquet" and self.moment is not None and self.random.random() < 0.6:
            self.moment = native_moments(self.random)
            self.notes.append(f"no: {self.moment.name}")
        columns = [
            *self._columns_of(self.shop.deeds, kind, nested),
            *self._decoys(len(self.shop.deeds)),
        ]
        columns = list({column.name.casefold(): column for column in reversed(columns)}.values())
        self.random.shuffle(columns)
        form = exact(
            draw_format(self.random, kind), [x.categories for x in self.shop.things.values()]
        )
        stem = self.random.choice(_FILES["interactions"])
        size = -(-len(self.shop.deeds) // parts)
        for part in range(parts):
            rows = slice(part * size, (part + 1) * size)
            cut = [Column(name=x.name, cells=x.cells[rows]) for x in columns]
            self._write(cut, form, stem if parts == 1 else f"{stem}_{part + 1}")

    def _columns_of(self, deeds: Sequence[Deed], kind: str, nested: bool) -> list[Column]:
        shop, things = self.shop, [self.shop.things[deed.item] for deed in deeds]
        user, item, title = self.name("user"), self.name("item"), self.name("title")
        category = self.name("category")
        if nested:
            user, item, title = "customer.id", "product.id", "product.title"
            category = "product.category"
            self.notes.append("nested")
        native = kind in NESTING
        columns = [
            Column(name=user, cells=self._ids([x.user for x in deeds], "user", native)),
            Column(name=item, cells=self._ids([x.item for x in deeds], "item", native)),
        ]
        self._spoil(columns[self.random.randint(0, 1)], deeds)
        if shop.values != "none":
            columns.append(self._values(deeds))
        if self.moment is not None:
            cells = [self.moment.write(deed.time) for deed in deeds]
            columns.append(Column(name=self.name("time"), cells=cells))
        if shop.described and (nested or self.random.random() < 0.3):
            self.described = True
            self.notes.append("described in the interactions")
            columns += [
                Column(name=title, cells=[thing.title for thing in things]),
                Column(name=category, cells=[thing.categories for thing in things]),
            ]
        self.notes.append(f"columns {[column.name for column in columns]}")
        return columns

    def _spoil(self, column: Column, deeds: Sequence[Deed]) -> None:
        """Leave some cells empty, in one of the ways in which that is done."""
        if self.random.random() < 0.85:
            return
        for place in self.random.sample(range(len(deeds)), 2):
            empty = None if isinstance(column.cells[place], int | float) else ""
            column.cells[place] = self.random.choice([None, empty])
            self.spoilt.add((deeds[place].user, deeds[place].item))
        self.notes.append(f"empty cells in {column.name}")

    def _values(self, deeds: Sequence[Deed]) -> Column:
        shop, random = self.shop, self.random
        values = [deed.value for deed in deeds]
        if shop.values == "event":
            return Column(name=self.name("event"), cells=list(values))
        numbers = [float(value) for value in values if value is not None]
        whole = all(number == int(number) for number in numbers)
        style = ratings(random, shop.top, whole) if shop.values == "rating" else counts(random)
        self.notes.append(f"{shop.values}: {style.name}")
        name = self.name(shop.values)
        if self.random.random() < 0.1:
            name += f" (1-{shop.top})" if shop.values == "rating" else " (pcs.)"
        return Column(name=name, cells=[style.write(x) for x in numbers])

    def _ids(self, ids: Sequence[str], what: str, native: bool) -> list[object]:
        numeric = all(each.isdigit() and str(int(each)) == each for each in ids)
        if numeric and self.random.random() < 0.15:
            self.notes.append(f"{what} ids with decimals")
            return [float(each) if native else f"{each}.0" for each in ids]
        return [int(each) for each in ids] if numeric and native else list(ids)

    def _decoys(self, count: int) -> list[Column]:
        random = self.random
        chosen = random.sample(list(DECOYS), random.choice([0, 0, 1, 2, 3]))
        if self.shop.values in ("none", "event") and "helpful" in chosen:
            chosen.remove("helpful")  # nobody could know that it is no count
        made: dict[str, Callable[[int], object]] = {
            "row number": lambda n: n + 1,
            "price": lambda n: f"{random.uniform(1, 90):.2f}",
            "session": lambda n: f"{random.getrandbits(40):010x}",
            "order": lambda n: 70_000 + n // 2,
            "person": lambda n: random.choice(PEOPLE),
            "second date": lambda n: f"2025-0{random.randint(1, 9)}-1{random.randint(0, 9)}",
            "variant": lambda n: random.randint(1, 9),
            "country": lambda n: random.choice(["DE", "FR", "PL"]),
            "currency": lambda n: "EUR",
            "status": lambda n: random.choice(GOOD_STATES),
            "flag": lambda n: random.choice(["true", "false"]),
            "helpful": lambda n: random.randint(0, 30),
            "comment": lambda n: random.choice(["", "as always", "too late; again"]),
        }
        columns = [
            Column(name=random.choice(DECOYS[what]), cells=[made[what](n) for n in range(count)])
            for what in chosen
        ]
        if columns:
            self.notes.append(f"beside the point {[column.name for column in columns]}")
        return columns

    def write_items(self) -> None:
        """A table of what is known about items."""
        shop, kind = self.shop, self.random.choice(KINDS)
        items = list(shop.things)
        things = list(shop.things.values())
        name = self.random.choice([self.name("item"), self.name("item"), "id"])
        columns = [
            Column(name=name, cells=self._ids(items, "item", kind in NESTING)),
            Column(name=self.name("title"), cells=[x.title for x in things]),
            Column(name=self.name("category"), cells=[x.categories for x in things]),
            Column(name="price", cells=[x.price for x in things]),
        ]
        self.notes.append(f"items' columns {[column.name for column in columns]}")
        form = exact(draw_format(self.random, kind), [x.categories for x in things])
        self._write(columns, form, self.random.choice(_FILES["items"]))

    def write_people(self) -> None:
        """A table of customers, of whom nothing may be used."""
        users = list(dict.fromkeys(deed.user for deed in self.shop.deeds))
        columns = [
            Column(name=self.name("user"), cells=list(users)),
            Column(name="name", cells=[self.random.choice(PEOPLE) for _ in users]),
            Column(
                name="city", cells=[self.random.choice(["Oslo", "Graz", "Gent"]) for _ in users]
            ),
        ]
        self._write(columns, Format(kind="csv"), self.random.choice(_FILES["people"]))

    def write_wide(self) -> None:
        """A row for each user and a column for each item."""
        users = list(dict.fromkeys(deed.user for deed in self.shop.deeds))
        cells = {(deed.user, deed.item): deed.value or 1 for deed in self.shop.deeds}
        columns = [Column(name=self.name("user"), cells=list(users))]
        for item in self.shop.things:
            columns.append(Column(name=item, cells=[cells.get((user, item)) for user in users]))
        self._write(columns, draw_format(self.random, "csv"), "matrix")

    def write_baskets(self) -> None:
        """A row for each user, with a list of items."""
        baskets: dict[str, list[object]] = {}
        for deed in self.shop.deeds:
            baskets.setdefault(deed.user, []).append(deed.item)
        columns = [
            Column(name=self.name("user"), cells=list(baskets)),
            Column(
                name=self.random.choice([self.name("item"), "items"]), cells=list(baskets.values())
            ),
        ]
        kind = self.random.choice(KINDS)
        self._write(columns, draw_format(self.random, kind), "baskets")

    def _write(self, columns: Sequence[Column], form: Format, stem: str) -> None:
        try:
            path = write_table(columns, form, self.folder / stem)
        except UnicodeEncodeError:
            form = Format(kind=form.kind, separator=form.separator, quoting=form.quoting)
            path = write_table(columns, form, self.folder / stem)
        if form.kind in DELIMITED:
            self.encodings.add(form.encoding)
        if path.suffix in (".txt", ".json"):
            self.notes.append("given by name")
        self.notes.append(f"{stem}: {form}")
