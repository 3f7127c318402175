"""Files in object stores and on web servers, by the libraries of fsspec (`s3://`, `gs://`, ...)."""

import re
import shutil
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path, PurePosixPath

from training.data.tables import DataError

_ADDRESS = re.compile(r"([a-z][a-z0-9+.-]*)://?(.+)")
"""A path of two slashes has lost one of them."""


@contextmanager
def fetched(paths: Sequence[Path], folder: Path) -> Iterator[list[Path]]:
    """The paths, with copies in `folder` of what is elsewhere; they go when all is done.

    Raises:
        DataError: an address cannot be read, or the library for it is not installed.
    """
    shutil.rmtree(folder, ignore_errors=True)
    try:
        yield [_local(path, folder / str(place)) for place, path in enumerate(paths)]
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _local(path: Path, folder: Path) -> Path:
    address = _ADDRESS.fullmatch(path.as_posix())
    if address is None or path.exists():
        return path
    url = "{}://{}".format(*address.groups())
    try:
        from fsspec.core import url_to_fs  # noqa: PLC0415  # of the extra `remote`

        store, inside = url_to_fs(url)
        names = store.find(inside)
        for name in names:
            target = folder / PurePosixPath(name).relative_to(PurePosixPath(inside).parent)
            target.parent.mkdir(parents=True, exist_ok=True)
            store.get_file(name, str(target))
    except Exception as error:  # each library has errors of its own
        raise DataError(
            Path(address.group(2)),
            f"cannot be fetched from {url} ({str(error) or type(error).__name__})",
            "check the address and your access to it; s3:// takes `pip install "
            "'magnet-recommender[remote]' s3fs`, and gs:// gcsfs instead of s3fs",
        ) from error
    if not names:
        raise DataError(Path(inside), f"is not there, at {url}", "check the address")
    return folder / PurePosixPath(inside).name
