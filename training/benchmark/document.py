"""The file that holds one section per data set, each between its own markers.

Knows text; knows nothing about what stands in it.
"""

from pathlib import Path

_INTRODUCTION = """# Benchmarks

Each section is written by one command, which stands in it; text between its markers is replaced
when the command runs again.
"""


def update_document(path: Path, name: str, text: str) -> None:
    """Replace the section of this name, or append it; all else stays as it is.

    Raises:
        ValueError: the document has a start marker without its end.
    """
    start, end = (f"<!-- benchmark {name} {x} -->" for x in ("start", "end"))
    section = f"{start}\n{text}\n{end}"
    document = path.read_text(encoding="utf-8") if path.exists() else _INTRODUCTION
    if start in document:
        before, rest = document.split(start, 1)
        if end not in rest:
            raise ValueError(f"{path} has {start!r} but not {end!r}: restore it or remove both")
        document = before + section + rest.split(end, 1)[1]
    else:
        document = f"{document.rstrip()}\n\n{section}\n"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(document, encoding="utf-8")
