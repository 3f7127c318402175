"""A tab-separated file with a header, strictly rectangular, every value a string.

A typed RecBole header (`item_id:token`) is read as its plain name. Letters: N data rows.
"""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path
from typing import Self

import numpy as np
import polars as pl
from numpy.typing import NDArray

from training.errors import ExplainedError

_UTF8_BOM = b"\xef\xbb\xbf"
_TAB, _NEWLINE = ord("\t"), ord("\n")
_FIRST_DATA_LINE = 2
_ALL_BYTES = -1


class DataError(ExplainedError):
    """Input data cannot be used: the message says where, what was expected and what to do."""

    def __init__(
        self,
        path: Path,
        problem: str,
        remedy: str,
        *,
        line: int | None = None,
        column: str | None = None,
    ) -> None:
        self.path, self.line, self.column = path, line, column
        place = f"{path}:{line}" if line is not None else str(path)
        where = f"{place}: column {column!r}" if column is not None else place
        super().__init__(f"{where}: {problem}; {remedy}")


@contextmanager
def writing(path: Path, remedy: str = "name another folder with --out") -> Iterator[None]:
    """Raise errors of the file system as DataError: `path` cannot be written."""
    try:
        yield
    except (OSError, pl.exceptions.ComputeError) as error:
        # Polars gives no number of the error, and of a Parquet file it says only that it failed.
        reason = getattr(error, "strerror", None) or str(error).splitlines()[0]
        raise DataError(path, f"cannot be written ({reason})", remedy) from error


def check_named(out: Path) -> None:
    """DataError for a folder to write that has no name of its own, such as `.`."""
    if out.name in ("", ".."):
        raise DataError(
            out, "is no name for a folder that is made", "name a new one, such as --out result"
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Table:
    """Rows of one file."""

    path: Path
    frame: pl.DataFrame
    first_line: int = _FIRST_DATA_LINE
    """Where the first row stands."""

    @classmethod
    def read(cls, path: Path) -> Self:
        """Read a whole file.

        Raises:
            DataError: unreadable, empty, not UTF-8, a header that repeats a name, or a line with
                more or fewer fields than the header.
        """
        [table] = cls.blocks(path, _ALL_BYTES)
        return table

    @classmethod
    def blocks(cls, path: Path, num_bytes: int) -> Iterator[Self]:
        """A file's rows, about so many bytes of whole lines at a time; raises as `read`."""
        names: list[str] = []
        line = 1
        for content in _contents(path, num_bytes):
            _check_encoding(path, content, line)
            _check_rectangular(path, content, line, len(names))
            skipped = 0 if names else 1
            names = names or _header(path, content)
            frame = pl.read_csv(
                BytesIO(content + b"\n"),
                separator="\t",
                quote_char=None,
                has_header=False,
                skip_rows=skipped,
                raise_if_empty=False,
                schema=dict.fromkeys(names, pl.String),
            ).fill_null("")
            yield cls(path=path, frame=frame, first_line=line + skipped)
            line += content.count(b"\n") + 1

    def find(self, accepted: Sequence[str]) -> str | None:
        """The first of the accepted names that the file has, or None."""
        return next((name for name in accepted if name in self.frame.columns), None)

    def require(self, accepted: Sequence[str], what: str) -> str:
        """As `find`; DataError that lists the columns found if there is none."""
        name = self.find(accepted)
        if name is None:
            raise DataError(
                self.path,
                f"has no {what} column (found: {', '.join(self.frame.columns)})",
                f"name it {' or '.join(accepted)}; columns are separated by tabs",
                line=1,
            )
        return name

    def ids(self, name: str) -> pl.Series:
        """One column of ids; DataError names the first empty one."""
        series = self.frame[name]
        self.check(name, (series.str.strip_chars() == "").to_numpy(), "an id", "fill it in")
        return series

    def numbers(self, name: str) -> NDArray[np.float64]:
        """One column as finite numbers; DataError names the first that is none."""
        series = self.frame[name].str.strip_chars().cast(pl.Float64, strict=False)
        values_N = series.fill_null(np.nan).to_numpy()
        self.check(name, ~np.isfinite(values_N), "a number", "correct or remove this line")
        return np.ascontiguousarray(values_N, dtype=np.float64)

    def check(self, name: str, bad_N: NDArray[np.bool_], expected: str, remedy: str) -> None:
        """Raise DataError for the first row that is marked bad."""
        if bad_N.any():
            row = int(np.argmax(bad_N))
            value = self.frame[name][row]
            raise DataError(
                self.path,
                f"expected {expected}, found {value!r}",
                remedy,
                line=row + self.first_line,
                column=name,
            )


def _contents(path: Path, num_bytes: int) -> Iterator[bytes]:
    """A file's lines, without a byte order mark, Windows' line ends and empty lines at the end."""
    try:
        file = path.open("rb")
    except OSError as error:
        raise DataError(
            path, f"cannot be read ({error.strerror})", "check its path and permissions"
        ) from error
    with file:
        lines = (file.read(num_bytes) + file.readline()).removeprefix(_UTF8_BOM)
        begun, empty_lines = False, b""
        while lines:
            content = empty_lines + lines.replace(b"\r\n", b"\n")
            filled = content.rstrip(b"\n")
            empty_lines = content[len(filled) + 1 :] if filled else content
            if filled:
                begun = True
                yield filled
            lines = file.read(num_bytes) + file.readline()
    if not begun:
        raise DataError(path, "is empty", "expected a header line with tab-separated column names")


def _header(path: Path, content: bytes) -> list[str]:
    names = [
        name.split(":", 1)[0].strip() for name in content.split(b"\n", 1)[0].decode().split("\t")
    ]
    twice = sorted({name for name in names if names.count(name) > 1})
    if twice:
        raise DataError(
            path, f"names column {twice[0]!r} more than once", "rename one of them", line=1
        )
    return names


def _check_encoding(path: Path, content: bytes, first_line: int) -> None:
    try:
        content.decode()
    except UnicodeDecodeError as error:
        raise DataError(
            path,
            f"is not UTF-8 (byte 0x{content[error.start]:02x})",
            f"convert it, for example with `iconv -f latin1 -t utf-8 {path.name}`",
            line=content.count(b"\n", 0, error.start) + first_line,
        ) from error


def _check_rectangular(path: Path, content: bytes, first_line: int, width: int) -> None:
    """DataError for the first line without `width` fields; 0 for as many as the first line has."""
    bytes_N = np.frombuffer(content, dtype=np.uint8)
    line_ends = np.append(np.flatnonzero(bytes_N == _NEWLINE), len(bytes_N))
    tabs = np.flatnonzero(bytes_N == _TAB)
    fields = np.diff(np.searchsorted(tabs, line_ends), prepend=0) + 1
    width = width or fields[0]
    ragged = fields != width
    if ragged.any():
        row = int(np.argmax(ragged))
        raise DataError(
            path,
            f"has {fields[row]} tab-separated fields where the header has {width}",
            "every line must have as many as the header",
            line=row + first_line,
        )
