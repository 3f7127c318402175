"""What changes while models are served, as this machine knew it last, in one SQLite file.

It serves a restart without Redis: what was hidden stays hidden, rules hold, and who was erased is
not known. All processes of the machine share the file. What cannot be written is removed, so that
nothing outdated is ever believed. Every method blocks.

Letters: H hidden ids.
"""

import logging
import sqlite3
import threading
from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing, contextmanager, suppress
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

FILE = "state.sqlite"
MERGED_FROM = 10_000
"""Changes of hidden items that are kept one by one before they are to be replaced by the whole."""
_TABLES = """
CREATE TABLE IF NOT EXISTS kept (name TEXT PRIMARY KEY, value BLOB) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS items (item_id TEXT PRIMARY KEY, record BLOB) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS erased (user_hash TEXT PRIMARY KEY, number INTEGER) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS hidden_set (revision INTEGER PRIMARY KEY, hashes BLOB);
CREATE TABLE IF NOT EXISTS hidden_moves
  (revision INTEGER PRIMARY KEY, previous INTEGER, hash BLOB, is_hidden INTEGER);
"""
_ERASED = "user_hash_key"
_MOST_LOG_BYTES = 4 * 2**20
_WAIT_SECONDS = 5.0
"""For another process to write."""
_logger = logging.getLogger(__name__)

Logged = tuple[int, int, int, bool]
"""A change of hidden items: its revision, that of the change before it, the hash of the id, and
whether it is hidden now."""


class LocalState:
    """The state of one namespace; the folder is made if it is missing."""

    def __init__(self, folder: Path) -> None:
        self._path = folder / FILE
        self._log_path = folder / f"{FILE}-wal"
        self._file: sqlite3.Connection | None = None
        """It stays open, and does not move SQLite's log into the file: that waits for the disk."""
        self._inode = 0
        self._turn = threading.RLock()

    def hidden(self) -> NDArray[np.uint64] | None:
        """The hashes of the hidden items, ascending; None if they are not known for certain."""
        whole, changes = self._ask(
            "SELECT revision, hashes FROM hidden_set",
            "SELECT revision, previous, hash, is_hidden FROM hidden_moves ORDER BY revision",
        )
        if not whole:
            return None
        ((revision, hashes),) = whole
        changes = [each for each in changes if each[0] > revision]
        numbers = [revision, *(number for number, _, _, _ in changes)]
        if [previous for _, previous, _, _ in changes] != numbers[:-1]:
            return None
        last = {raw: bool(is_hidden) for _, _, raw, is_hidden in changes}
        changed = np.frombuffer(b"".join(last), dtype="<u8")
        kept = np.setdiff1d(np.frombuffer(hashes, dtype="<u8"), changed)
        return np.union1d(kept, changed[np.array([*last.values()], dtype=np.bool_)])

    def replace_hidden(self, revision: int, hashes_H: NDArray[np.uint64]) -> None:
        """Keep these, ascending, as those of a revision, and no change behind it."""
        with self._writing() as file:
            file.execute("DELETE FROM hidden_moves")
            _put_hidden(file, revision, hashes_H)

    def tidy(self, revision: int, hashes_H: NDArray[np.uint64] | None) -> None:
        """Make the file small again, beside whoever writes changes meanwhile.

        Args:
            revision: of the hashes.
            hashes_H: those to keep in place of the changes up to then; None: as it is.
        """
        if hashes_H is None and _size(self._log_path) < _MOST_LOG_BYTES:
            return
        beside = LocalState(self._path.parent)
        with beside._writing() as file:
            if hashes_H is not None:
                file.execute("DELETE FROM hidden_moves WHERE revision <= ?", [revision])
                _put_hidden(file, revision, hashes_H)
            file.commit()
            file.execute("PRAGMA wal_checkpoint(PASSIVE)")
        beside.close()

    def log_hidden(self, changes: Sequence[Logged]) -> bool:
        """Add changes; whether they should be merged now."""
        with self._writing() as file:
            file.executemany(
                "INSERT OR IGNORE INTO hidden_moves VALUES (?, ?, ?, ?)",
                [
                    (number, previous, raw.to_bytes(8, "little"), on)
                    for number, previous, raw, on in changes
                ],
            )
            whole, waiting = file.execute(
                "SELECT (SELECT count(*) FROM hidden_set), (SELECT count(*) FROM hidden_moves)"
            ).fetchone()
            return not whole or waiting > MERGED_FROM
        return True

    def items(self) -> list[bytes]:
        """The records of items that were put."""
        (found,) = self._ask("SELECT record FROM items")
        return [record for (record,) in found]

    def put_items(self, records: Mapping[str, bytes]) -> None:
        """Keep records of items, by id."""
        with self._writing() as file:
            file.executemany("INSERT OR REPLACE INTO items VALUES (?, ?)", records.items())

    def drop_items(self) -> None:
        """Keep no records."""
        with self._writing() as file:
            file.execute("DELETE FROM items")

    def erased(self) -> tuple[bytes, dict[str, int]]:
        """The key of users' hashes, and the latest erasure of each user, by hash."""
        keys, numbers = self._ask(
            f"SELECT value FROM kept WHERE name = '{_ERASED}'", "SELECT * FROM erased"
        )
        return (keys[0][0], dict(numbers)) if keys else (b"", {})

    def put_erased(self, key: bytes, numbers: Mapping[str, int], *, anew: bool) -> None:
        """Keep the latest erasures of some users beside the others, or with `anew` no others."""
        with self._writing() as file:
            if anew:
                file.execute("DELETE FROM erased")
            file.execute("INSERT OR REPLACE INTO kept VALUES (?, ?)", [_ERASED, key])
            file.executemany("INSERT OR REPLACE INTO erased VALUES (?, ?)", numbers.items())

    def get(self, name: str) -> bytes | None:
        """What was put under a name last."""
        (found,) = self._ask(f"SELECT value FROM kept WHERE name = '{name}'")
        return found[0][0] if found else None

    def put(self, name: str, value: bytes) -> None:
        """Keep a value under a name."""
        with self._writing() as file:
            file.execute("INSERT OR REPLACE INTO kept VALUES (?, ?)", [name, value])

    def close(self) -> None:
        """Close the file."""
        with self._turn:
            if self._file is not None:
                self._file.close()
            self._file = None

    def _ask(self, *questions: str) -> Sequence[list[Any]]:
        """The rows of some SELECTs, of one moment; none where the file cannot be read."""
        try:
            if self._path.is_file():
                with self._turn, self._opened() as file:
                    file.execute("BEGIN")
                    return [file.execute(question).fetchall() for question in questions]
        except (sqlite3.Error, OSError) as error:
            _logger.warning("%s cannot be read: %s", self._path, error)
        return [[] for _ in questions]

    @contextmanager
    def _writing(self) -> Iterator[sqlite3.Connection]:
        """A file to write in one transaction; it is removed where that fails.

        Where none can be opened, what is written goes nowhere.
        """
        with self._turn:
            try:
                opened = self._opened()
            except (sqlite3.Error, OSError) as error:
                self._remove(error)
                with closing(sqlite3.connect(":memory:")) as nowhere:
                    nowhere.executescript(_TABLES)
                    yield nowhere
                return
            try:
                with opened as file:
                    yield file
            except (sqlite3.Error, OSError) as error:
                self._remove(error)

    def _remove(self, error: Exception) -> None:
        _logger.warning(
            "%s cannot be written (%s): a restart without Redis will not be ready",
            self._path,
            error,
        )
        self.close()
        for path in self._path.parent.glob(f"{FILE}*"):
            with suppress(OSError):
                path.unlink()

    def _opened(self) -> sqlite3.Connection:
        """The file that is there now: another process may have removed the one that was."""
        if self._file is not None and _inode(self._path) != self._inode:
            self.close()
        if self._file is None:
            self._path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
            self._file = sqlite3.connect(self._path, timeout=_WAIT_SECONDS, check_same_thread=False)
            # Written ahead, a transaction need not wait for the disk, and survives the process.
            self._file.executescript(
                "PRAGMA journal_mode=WAL; PRAGMA synchronous=NORMAL; PRAGMA wal_autocheckpoint=0; "
                + _TABLES
            )
            self._inode = _inode(self._path)
        return self._file


def _put_hidden(file: sqlite3.Connection, revision: int, hashes_H: NDArray[np.uint64]) -> None:
    file.execute("DELETE FROM hidden_set")
    file.execute("INSERT INTO hidden_set VALUES (?, ?)", [revision, hashes_H.data])


def _size(path: Path) -> int:
    try:
        return path.stat().st_size
    except OSError:  # also where there can be no file
        return 0


def _inode(path: Path) -> int:
    try:
        return path.stat().st_ino
    except OSError:  # also where there can be no file
        return 0
