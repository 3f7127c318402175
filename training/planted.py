"""`planted.tsv`: which modality drives each user's choices, in data where that is known.

Knows the file's form; knows nothing about how tastes are made or measured.
"""

from collections.abc import Collection, Iterable, Mapping
from pathlib import Path

import numpy as np

from training.tables import DataError, Table

PLANTED_FILE = "planted.tsv"
_SEPARATOR = "|"


def write_planted(folder: Path, drivers: Mapping[str, tuple[str, ...]]) -> None:
    """Write the driving modalities of every user; more than one where her taste is mixed."""
    lines = [f"{user_id}\t{_SEPARATOR.join(names)}\n" for user_id, names in drivers.items()]
    (folder / PLANTED_FILE).write_text("user_id\tmodalities\n" + "".join(lines))


def read_planted(
    folder: Path, user_ids: Iterable[str], modalities: Collection[str]
) -> dict[str, tuple[str, ...]] | None:
    """The driving modalities of every user, or None for a folder that does not say.

    Raises:
        DataError: a column or a user is missing, or a driving modality is not among `modalities`.
    """
    path = folder / PLANTED_FILE
    if not path.is_file():
        return None
    table = Table.read(path)
    column = table.require(["modalities"], "modalities")
    drivers = [tuple(text.split(_SEPARATOR)) for text in table.strings(column)]
    table.check(
        column,
        np.array([not set(names) <= set(modalities) for names in drivers]),
        f"modalities of the artifact ({', '.join(modalities)}) between '{_SEPARATOR}'",
        "train with all modalities that tastes are planted in",
    )
    by_user = dict(zip(table.ids(table.require(["user_id"], "user id")), drivers, strict=True))
    absent = next((user_id for user_id in user_ids if user_id not in by_user), None)
    if absent is not None:
        raise DataError(path, f"has no line for user {absent!r}", "add it, or remove the file")
    return by_user
