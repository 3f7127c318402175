"""The training set of one run: a data folder's interactions and the events since, by time.

A user likes an item or not: their events on it are weighted and added up, from the last one on that
takes back what came before.

Letters: N interactions of the folder.
"""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np
import polars as pl
from numpy.typing import NDArray

from model.registry.items import ItemRecord
from model.registry.records import SHOWN_ONLY, TAKEN_BACK
from training.data.dataset import DataConfig
from training.data.files import make_folder
from training.data.folder import FEATURE_SUFFIX
from training.data.interactions import (
    Interactions,
    global_time_cuts,
    interaction_file,
    liked_rows,
    read_interactions,
)
from training.data.tables import DataError
from training.retrain.caps import catalogue_of, within_caps
from training.retrain.catalogue import merge_items, usable_records
from training.retrain.settings import DataSettings, EventSettings, RetrainConfig

_ENOUGH = 1 - 1e-9
"""From here on a sum of weights counts as 1, despite rounding."""
_LATEST_SECONDS = 1e11
"""The year 5138: a larger timestamp is not in seconds."""
_FACTS = ("*.kg", "*.link")
_ITEMS = ("items.tsv", "*.item", f"*{FEATURE_SUFFIX}")
_PAIR = ["user_id", "item_id"]
_NAMED = 5
"""Items that a line names."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Assembled:
    """Where a training set is and what it is made of."""

    folder: Path
    base_pairs: int
    """User-item pairs of the data folder."""
    events: int
    """Events in the log."""
    counted: int
    """Events that say what a user did; others were impressions, or left out."""
    rejected: dict[str, int]
    """Events that cannot be used, by reason."""
    capped_users: dict[str, int]
    """User-item pairs beyond `events.max_share`, by user."""
    capped_items: dict[str, int]
    """Pairs left out, by item that is neither in the data folder nor put."""
    pairs: int
    positives: int
    users: int
    items: int
    """Items of the pairs; the item table may have more."""
    new_users: int
    """Users who are not in the data folder."""
    new_items: int
    trained_until: float
    """Unix time of the newest training positive under a split by global time."""
    tested_from: float
    """Unix time of the oldest test positive."""

    @property
    def density(self) -> float:
        """Share of all user-item combinations that are positive."""
        return self.positives / (self.users * self.items)

    @property
    def left_out(self) -> list[str]:
        """Lines on whose events were more than one may weigh; users are not named."""
        lines = []
        if self.capped_users:
            lines.append(
                f"{len(self.capped_users)} users have more than events.max_share allows: "
                f"{sum(self.capped_users.values())} pairs left out, see the report"
            )
        if self.capped_items:
            named = ", ".join(list(self.capped_items)[:_NAMED])
            lines.append(
                f"{len(self.capped_items)} items that nobody has described have more than "
                f"events.max_share allows: {sum(self.capped_items.values())} pairs left out "
                f"({named})"
            )
        return lines

    @property
    def config(self) -> DataConfig:
        """Settings that read this training set."""
        return DataConfig(folder=self.folder, min_rating=1, split="global-time")


def assemble(
    data: DataSettings,
    events: pl.DataFrame,
    settings: EventSettings,
    folder: Path,
    records: Sequence[ItemRecord] = (),
) -> Assembled:
    """Write the training set into a new `folder`; content files are linked, not copied.

    Args:
        data: the data folder.
        events: rows of the event log.
        settings: what events weigh; a type that is not named weighs 0.
        folder: does not exist yet.
        records: items that the API has put.

    Raises:
        DataError: the data folder cannot be used, or has no times.
    """
    base = _base(data)
    has_table = records or _has_item_table(data.folder)
    known_items = None if has_table else base["item_id"].unique()
    catalogue = catalogue_of(data.folder, records)
    base_items = base["item_id"].unique()
    if settings.known_items_only:
        known_items = base_items if catalogue is None else catalogue
    usable, rejected = _usable(events, known_items)
    described = base_items if catalogue is None else pl.concat([base_items, catalogue])
    capped = within_caps(usable, described, len(base), settings.max_share)
    weights = dict(settings.weights)
    done = capped.events.select(
        *_PAIR,
        weight=pl.col("type").replace_strict(weights, default=0.0, return_dtype=pl.Float64),
        undo=pl.col("type").is_in(sorted(TAKEN_BACK)),
        # a client's clock may be ahead of ours
        timestamp=pl.min_horizontal("timestamp", "received_at").dt.timestamp("us") / 1e6,
    )
    pairs = _liked(pl.concat([base.with_columns(undo=False), done], how="diagonal"))
    make_folder(folder)
    pairs.write_csv(
        folder / f"{interaction_file(data.folder).stem}.inter",
        separator="\t",
        quote_style="never",
    )
    put = usable_records(records)
    for pattern in _FACTS if put else (*_FACTS, *_ITEMS):
        for path in data.folder.glob(pattern):
            (folder / path.name).symlink_to(path.resolve())
    if put:
        merge_items(data.folder, folder, put)
    liked = pairs.filter(pl.col("rating") == 1)["timestamp"].sort().to_numpy()
    first_valid, first_test = global_time_cuts(len(liked))
    return Assembled(
        folder=folder,
        base_pairs=len(base),
        events=len(events),
        counted=len(capped.events),
        rejected=rejected,
        capped_users=capped.users,
        capped_items=capped.items,
        pairs=len(pairs),
        positives=len(liked),
        users=pairs["user_id"].n_unique(),
        items=pairs["item_id"].n_unique(),
        new_users=len(done.join(base, on="user_id", how="anti")["user_id"].unique()),
        new_items=len(done.join(base, on="item_id", how="anti")["item_id"].unique()),
        trained_until=float(liked[max(first_valid - 1, 0)]),
        tested_from=float(liked[min(first_test, len(liked) - 1)]),
    )


def inputs_digest(config: RetrainConfig, records: Sequence[ItemRecord] = ()) -> str:
    """A digest of the data folder's files, of the items put, and of the settings that decide."""
    digest = hashlib.sha256()
    for path in sorted(path for path in config.data.folder.glob("*") if path.is_file()):
        with path.open("rb") as content:
            checksum = hashlib.file_digest(content, "sha256").hexdigest()
        digest.update(f"{path.name}\0{checksum}\n".encode())
    for record in usable_records(records):
        digest.update(record.dump().encode())
    settings = config.model_dump_json(include={"data", "events", "training"})
    digest.update(settings.replace(str(config.data.folder), "").encode())
    return digest.hexdigest()


def seconds_of(rows: Interactions, unit: Literal["s", "ms"]) -> NDArray[np.float64]:
    """The time of each row in seconds since 1970; DataError if there is none."""
    if rows.timestamp_N is None:
        raise DataError(
            rows.path, "has no 'timestamp' column, which a retraining needs", "add the times"
        )
    seconds_N = rows.timestamp_N / (1000 if unit == "ms" else 1)
    if seconds_N.max() > _LATEST_SECONDS:
        raise DataError(
            rows.path,
            "has timestamps that are no seconds since 1970",
            'if they are milliseconds, set data.timestamp_unit = "ms"',
        )
    return seconds_N


def _base(data: DataSettings) -> pl.DataFrame:
    """Each pair of the folder once: its earliest positive, else its first row."""
    rows = read_interactions(interaction_file(data.folder))
    seconds_N = seconds_of(rows, data.timestamp_unit)
    weight_N = np.zeros(len(seconds_N))
    weight_N[liked_rows(rows, data.min_rating)] = 1
    frame = pl.DataFrame(
        {
            "user_id": pl.Series(rows.user_ids, dtype=pl.String).gather(rows.user_N),
            "item_id": pl.Series(rows.item_ids, dtype=pl.String).gather(rows.item_N),
            "weight": weight_N,
            "timestamp": seconds_N,
        }
    )
    return frame.sort(
        ["weight", "timestamp"], descending=[True, False], maintain_order=True
    ).unique(subset=_PAIR, keep="first", maintain_order=True)


def _has_item_table(folder: Path) -> bool:
    """Whether new items can be described: by an item table, or because nothing describes items."""
    tables = [*folder.glob("items.tsv"), *folder.glob("*.item")]
    return bool(tables) or not any(folder.glob(f"*{FEATURE_SUFFIX}"))


def _usable(
    events: pl.DataFrame, known_items: pl.Series | None
) -> tuple[pl.DataFrame, dict[str, int]]:
    """Events that say what was done, and how many cannot be used, by reason."""
    events = events.filter(~pl.col("type").is_in(sorted(SHOWN_ONLY)))
    faults = {
        "an id that cannot stand in a table (tab, line break or blank)": pl.any_horizontal(
            pl.col(name).str.contains(r"[\t\r\n]") | (pl.col(name).str.strip_chars() == "")
            for name in _PAIR
        )
    }
    if known_items is not None:
        unknown = ~pl.col("item_id").is_in(known_items.implode())
        faults["an item that is not known (add it to the item table, or put it)"] = unknown
    rejected: dict[str, int] = {}
    for reason, fault in faults.items():
        kept = events.filter(~fault)
        if len(kept) < len(events):
            rejected[reason] = len(events) - len(kept)
        events = kept
    return events, rejected


def _liked(done: pl.DataFrame) -> pl.DataFrame:
    """One row per pair: rating 1 since its weights add up to 1, if they still do, else 0.

    A negative weight begins the sum anew; of what was undone nothing is left.
    """
    undone = pl.col("undo").reverse().cum_max().reverse().over(_PAIR)
    part = (pl.col("weight") < 0).cum_sum().over(_PAIR)
    total = pl.col("weight").clip(0).cum_sum().over([*_PAIR, "part"])
    counts = pl.col("part") == pl.col("part").last()
    pairs = (
        done.sort("timestamp", maintain_order=True)
        .filter(~undone)
        .with_columns(part=part)
        .with_columns(total=total)
        .group_by(_PAIR, maintain_order=True)
        .agg(
            first=pl.col("timestamp").first(),
            since=pl.col("timestamp").filter(counts & (pl.col("total") >= _ENOUGH)).first(),
        )
    )
    rows = pairs.select(
        *_PAIR,
        rating=pl.col("since").is_not_null().cast(pl.Int8),
        timestamp=pl.coalesce("since", "first"),
    )
    return rows.sort(["timestamp", *_PAIR])
