"""Draws a recommendation response as the picture in the README.

    curl -s 'http://127.0.0.1:8000/v1/users/1/recommendations?k=3' | python docs/draw_response.py

Reads the JSON from standard input and writes `docs/response.svg`. Every bar is a term of the score.
"""

import json
import sys
from pathlib import Path
from typing import Any
from xml.sax.saxutils import escape

COLOURS = {
    "popularity": "#767c85",
    "dominant": "#0072b2",
    "balanced": "#009e73",
    "complementary": "#e69f00",
}
"""Of the roles, as on the page; told apart by people of any colour vision (Okabe and Ito)."""
WIDTH, LEFT, ITEM_HEIGHT, HEAD = 820, 20, 92, 58
BAR, LINE = 22, 16


def draw(response: dict[str, Any]) -> str:
    """The SVG of a response whose items were ranked by the model."""
    items = response["items"]
    terms = [[("popularity", "popularity", item["bias"]), *_experts(item)] for item in items]
    longest = max(sum(abs(value) for _, _, value in row) for row in terms)
    scale = (WIDTH - 2 * LEFT) / longest
    height = HEAD + ITEM_HEIGHT * len(items) + 8
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{WIDTH}" height="{height}" '
        f'viewBox="0 0 {WIDTH} {height}" font-family="sans-serif" font-size="13">',
        f'<rect width="{WIDTH}" height="{height}" fill="#ffffff"/>',
        f'<text x="{LEFT}" y="26" font-size="15" font-weight="bold" fill="#1a1a1a">'
        f"Recommended to user {escape(str(response['user_id']))}</text>",
        *_legend(),
    ]
    for place, (item, row) in enumerate(zip(items, terms, strict=True)):
        parts += _item(item, row, HEAD + ITEM_HEIGHT * place, scale)
    return "\n".join([*parts, "</svg>", ""])


def _experts(item: dict[str, Any]) -> list[tuple[str, str, float]]:
    return [(e["role"], e["name"], e["contribution"]) for e in item["experts"]]


def _legend() -> list[str]:
    parts = []
    for place, (name, colour) in enumerate(COLOURS.items()):
        x = WIDTH - 455 + 105 * place
        parts.append(f'<rect x="{x}" y="15" width="12" height="12" fill="{colour}"/>')
        parts.append(f'<text x="{x + 17}" y="26" fill="#1a1a1a">{name}</text>')
    return parts


def _item(
    item: dict[str, Any], terms: list[tuple[str, str, float]], top: int, scale: float
) -> list[str]:
    title = escape(item["title"] or item["item_id"])
    parts = [
        f'<text x="{LEFT}" y="{top + 12}" font-weight="bold" fill="#1a1a1a">{item["rank"]}. '
        f'{title}<tspan font-weight="normal" dx="8">score {item["score"]:.2f}</tspan></text>'
    ]
    x = float(LEFT)
    for role, _, value in terms:
        width = abs(value) * scale
        faint = ' fill-opacity="0.35"' if value < 0 else ""
        parts.append(
            f'<rect x="{x:.1f}" y="{top + 20}" width="{max(0.0, width - 1):.1f}" height="{BAR}" '
            f'fill="{COLOURS[role]}"{faint}/>'
        )
        x += width
    listed = " &#160; ".join(f"{escape(name)} {value:+.2f}" for _, name, value in terms[:5])
    more = f" &#160; and {len(terms) - 5} more" if len(terms) > 5 else ""
    parts.append(
        f'<text x="{LEFT}" y="{top + 20 + BAR + LINE}" font-size="12" fill="#4d4d4d">'
        f"{listed}{more}</text>"
    )
    return parts


if __name__ == "__main__":
    Path(__file__).with_name("response.svg").write_text(draw(json.load(sys.stdin)))
