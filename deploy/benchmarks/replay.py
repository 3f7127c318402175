"""A data folder in the order of time: what came first stays data, what came later becomes feedback.

Letters: N interactions, in the order of their times.
"""

from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Self

import numpy as np
import polars as pl
from numpy.typing import NDArray

from model.registry.records import ReportedEvent
from training.data.interactions import interaction_file, liked_rows, read_interactions
from training.retrain.settings import DataSettings
from training.retrain.training_set import seconds_of


@dataclass(frozen=True, slots=True, kw_only=True)
class Replay:
    """All interactions, oldest first."""

    source: Path
    """The file of interactions."""
    user_N: list[str]
    item_N: list[str]
    rating_N: NDArray[np.float64] | None
    time_N: NDArray[np.float64]
    """Times as the file has them."""
    seconds_N: NDArray[np.float64]
    """The same times in seconds since 1970."""
    liked_N: NDArray[np.bool_]

    @classmethod
    def of(cls, data: DataSettings) -> Self:
        """Read a data folder; DataError if it cannot be used or has no times."""
        path = interaction_file(data.folder)
        rows = read_interactions(path)
        seconds_N = seconds_of(rows, data.timestamp_unit)
        assert rows.timestamp_N is not None
        liked_N = np.zeros(len(seconds_N), dtype=np.bool_)
        liked_N[liked_rows(rows, data.min_rating)] = True
        order_N = np.argsort(seconds_N, kind="stable")
        return cls(
            source=path,
            user_N=[rows.user_ids[user] for user in rows.user_N[order_N]],
            item_N=[rows.item_ids[item] for item in rows.item_N[order_N]],
            rating_N=None if rows.rating_N is None else rows.rating_N[order_N],
            time_N=rows.timestamp_N[order_N],
            seconds_N=seconds_N[order_N],
            liked_N=liked_N[order_N],
        )

    def write_first(self, number: int, folder: Path) -> None:
        """A new data folder of the first `number` interactions; other files are linked."""
        folder.mkdir(parents=True)
        columns: dict[str, list[str] | NDArray[np.float64]] = {
            "user_id": self.user_N,
            "item_id": self.item_N,
            "timestamp": self.time_N,
        }
        if self.rating_N is not None:
            columns["rating"] = self.rating_N
        first = pl.DataFrame(columns).head(number)
        first.write_csv(folder / self.source.name, separator="\t", quote_style="never")
        for other in self.source.parent.iterdir():
            if other != self.source:
                (folder / other.name).symlink_to(other.resolve())

    def events(self, start: int, stop: int) -> list[ReportedEvent]:
        """Interactions `start` to `stop`, without `stop`: a like, or else a view."""
        return [
            ReportedEvent(
                event_id=f"replayed-{n}",
                user_id=self.user_N[n],
                item_id=self.item_N[n],
                type="like" if self.liked_N[n] else "view",
                timestamp=datetime.fromtimestamp(self.seconds_N[n], UTC),
            )
            for n in range(start, stop)
        ]
