"""Tables, figures and leads in Markdown.

Knows how a number is written; knows nothing about which numbers stand where.
"""

from collections.abc import Sequence
from statistics import mean, stdev

from training.benchmark.outcome import Lead


def table(header: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """Rows as wide as the header."""
    lines = [header, ["---"] * len(header), *rows]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)


def figure(values: Sequence[float]) -> str:
    """Mean and standard deviation over seeds; nothing if there is no value."""
    if not values:
        return ""
    spread = f" ± {stdev(values):.4f}" if len(values) > 1 else ""
    return f"{mean(values):.4f}{spread}"


def lead_text(lead: Lead) -> str:
    """With its interval and what that bears out."""
    return f"{lead.mean:+.4f} [{lead.low:+.4f}, {lead.high:+.4f}] {lead.verdict}"
