"""The lines of a text file, plain or compressed by gzip, in whatever encoding it is.

Knows bytes and encodings; knows nothing about columns.
"""

import codecs
import gzip
import io
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, cast

from training.tables import DataError

DEFAULT_ENCODING = "utf-8"
_UTF16_MARKS = (b"\xff\xfe", b"\xfe\xff")
_COMPRESSED = ".gz"
_READ_BYTES = 2**20


def plain_suffix(path: Path) -> str:
    """The suffix in lower case, without that of the compression: `.csv` of `Ratings.CSV.gz`."""
    suffixes = [suffix.lower() for suffix in path.suffixes]
    if suffixes and suffixes[-1] == _COMPRESSED:
        suffixes.pop()
    return suffixes[-1] if suffixes else ""


@contextmanager
def text_lines(path: Path, encoding: str) -> Iterator[Iterator[str]]:
    """Lines with their ends, exactly as they are in the file; a byte order mark is left out.

    What is UTF-8 is read as UTF-8 even if another encoding is named: of several files some may be.

    Raises:
        DataError: the file cannot be read, is damaged, or is not in this encoding.
    """
    _check_known(path, encoding)
    try:
        with _bytes(path) as content, _decoded(content, encoding) as text:
            yield text
    except UnicodeError as error:
        raise _not_encoded(path, encoding) from error
    except (EOFError, gzip.BadGzipFile) as error:
        raise DataError(path, f"is damaged ({error})", "get it again, or unpack it") from error
    except OSError as error:
        raise DataError(
            path, f"cannot be read ({error.strerror})", "check its path and permissions"
        ) from error


def _check_known(path: Path, encoding: str) -> None:
    try:
        codecs.lookup(encoding)
    except LookupError as error:
        raise DataError(
            path,
            f"cannot be read as {encoding!r}, which is no encoding",
            "name one, such as utf-8, cp1252 or latin-1",
        ) from error


def _bytes(path: Path) -> IO[bytes]:
    if path.suffix.lower() == _COMPRESSED:
        return cast(IO[bytes], gzip.open(path, "rb"))
    return path.open("rb")


def _decoded(content: IO[bytes], encoding: str) -> io.TextIOWrapper:
    buffered = io.BufferedReader(cast(io.RawIOBase, content))
    if encoding == DEFAULT_ENCODING or _is_unicode(content):
        marked = buffered.peek(2)[:2] in _UTF16_MARKS
        encoding = "utf-16" if marked else "utf-8-sig"
    return io.TextIOWrapper(buffered, encoding=encoding, newline="")


def _is_unicode(content: IO[bytes]) -> bool:
    """Whether all is UTF-8, or marked as UTF-16: text in another encoding is hardly ever so."""
    decoder = codecs.getincrementaldecoder(DEFAULT_ENCODING)()
    try:
        first = content.read(_READ_BYTES)
        if first[:2] in _UTF16_MARKS:
            return True
        decoder.decode(first)
        while piece := content.read(_READ_BYTES):
            decoder.decode(piece)
        decoder.decode(b"", final=True)
    except UnicodeDecodeError:
        return False
    finally:
        content.seek(0)
    return True


def _not_encoded(path: Path, encoding: str) -> DataError:
    with _bytes(path) as content:
        for number, line in enumerate(content, start=1):
            try:
                line.decode(encoding)
            except UnicodeDecodeError as error:
                return DataError(
                    path,
                    f"is not {encoding} (byte 0x{line[error.start]:02x})",
                    "say what it is, for example --encoding cp1252 (Western European, by Windows) "
                    "or --encoding latin-1",
                    line=number,
                )
    return DataError(path, f"is not {encoding}", "say what it is with --encoding")
