"""How time and memory grow with users, items and interactions: measured, and fitted by lines.

    python -m deploy.scale --document docs/scaling.md

Knows sizes and footprints; knows nothing about how they come about. The first sizes make the lines;
the last one only tests them.
"""

import argparse
import re
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np

from deploy.crowd import FEATURE_WIDTH, Size
from deploy.footprint import Footprint, footprint
from deploy.processes import ChildDied

SIZES = (
    Size(10_000, 10_000, 100_000),
    Size(40_000, 10_000, 100_000),
    Size(10_000, 40_000, 100_000),
    Size(10_000, 10_000, 400_000),
    Size(30_000, 41_000, 1_000_000),
)
"""One count at a time, then a size that is larger in all (that of the Gowalla benchmark)."""

_QUANTITIES: dict[str, tuple[str, float, Callable[[Footprint], float]]] = {
    "propagation in a step": ("µs", 1e6, lambda x: x.step.propagation),
    "memory of training": ("bytes", 1e6, lambda x: x.training_mb),
    "artifact on disk": ("bytes", 1e6, lambda x: x.artifact_mb),
    "memory of Redis per version": ("bytes", 1e6, lambda x: x.redis_mb),
    "memory of a service replica": ("bytes", 1e6, lambda x: x.service_mb),
}
"""Name: unit of a slope, how many of it make the measured unit, and where it is found."""
_MARKERS = ("<!-- scaling start -->", "<!-- scaling end -->")


def report(sizes: Sequence[Size], footprints: Sequence[Footprint], num_modalities: int) -> str:
    """Both tables in Markdown.

    Args:
        sizes: five or more; all but the last make the lines.
        footprints: one for each.
        num_modalities: content modalities of the data.
    """
    content = f"and {num_modalities} content modalities of {FEATURE_WIDTH} columns"
    title = f"**Behaviour {content if num_modalities else 'alone'}**"
    return f"{title}\n\n{_measurements(sizes, footprints)}\n\n{_slopes(sizes, footprints)}"


def _measurements(sizes: Sequence[Size], footprints: Sequence[Footprint]) -> str:
    header = (
        "users", "items", "interactions", "set-up s", "propagation s/step", "pairs s/step",
        "positives/step", "training MB", "artifact MB", "Redis MB", "service MB",
    )  # fmt: skip
    rows = [
        (
            *(f"{count:,}" for count in (size.users, size.items, size.interactions)),
            f"{x.step.setting_up:.1f}",
            f"{x.step.propagation:.2f}",
            f"{x.step.pairs:.2f}",
            f"{x.step.positives:,}",
            *(f"{mb:.0f}" for mb in (x.training_mb, x.artifact_mb, x.redis_mb, x.service_mb)),
        )
        for size, x in zip(sizes, footprints, strict=True)
    ]
    return _table(header, rows)


def _slopes(sizes: Sequence[Size], footprints: Sequence[Footprint]) -> str:
    header = (
        "what", "per user", "per item", "per interaction", "at nothing", "last size: line",
        "measured",
    )  # fmt: skip
    counts = np.array([[1, size.users, size.items, size.interactions] for size in sizes])
    rows = []
    for name, (unit, scale, value) in _QUANTITIES.items():
        measured = np.array([value(x) for x in footprints])
        line, *_ = np.linalg.lstsq(counts[:-1], measured[:-1], rcond=None)
        whole = "s" if unit == "µs" else "MB"
        rows.append(
            (
                name,
                *(f"{slope * scale:.3g} {unit}" for slope in line[1:]),
                *(f"{x:.3g} {whole}" for x in (line[0], counts[-1] @ line, measured[-1])),
            )
        )
    return _table(header, rows)


def _table(header: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    lines = [header, ["---"] * len(header), *rows]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)


def write_section(document: Path, text: str) -> None:
    """Replace what stands between the markers.

    Raises:
        ValueError: the document has no markers.
    """
    start, end = _MARKERS
    whole = document.read_text(encoding="utf-8")
    before, found_start, rest = whole.partition(start)
    _, found_end, after = rest.partition(end)
    if not (found_start and found_end):
        raise ValueError(f"{document} needs the lines {start!r} and {end!r}")
    document.write_text(f"{before}{start}\n{text}\n{end}{after}", encoding="utf-8")


def _measured(sizes: Sequence[Size], num_modalities: int) -> str:
    footprints = []
    for size in sizes:
        sys.stderr.write(f"{size}, {num_modalities} content modalities ...\n")
        footprints.append(footprint(size, num_modalities))
        sys.stderr.write(f"  {footprints[-1]}\n")
    return report(sizes, footprints, num_modalities)


def _size(text: str) -> Size:
    if not re.fullmatch(r"\d+x\d+x\d+", text):
        raise argparse.ArgumentTypeError(f"{text!r} is not USERSxITEMSxINTERACTIONS")
    return Size(*map(int, text.split("x")))


def main(arguments: list[str] | None = None) -> int:
    """Measure and print; exit status 1 with a message if that cannot be done."""
    parser = argparse.ArgumentParser(
        prog="python -m deploy.scale", description="Measure how time and memory grow with the data."
    )
    parser.add_argument(
        "--sizes",
        nargs="+",
        type=_size,
        default=SIZES,
        metavar="USERSxITEMSxINTERACTIONS",
        help="five or more; the last one tests the lines (default: "
        + " ".join(map(str, SIZES))
        + ")",
    )
    parser.add_argument(
        "--modalities",
        nargs="+",
        type=int,
        default=[0, 2],
        help="numbers of content modalities, each measured on its own (default: 0 2)",
    )
    parser.add_argument("--document", type=Path, help="write the tables between its markers")
    options = parser.parse_args(arguments)
    try:
        text = "\n\n".join(_measured(options.sizes, number) for number in options.modalities)
        sys.stdout.write(f"{text}\n")
        if options.document is not None:
            write_section(options.document, text)
    except (ChildDied, OSError, ValueError) as error:
        sys.stderr.write(f"error: {error}\n")
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
