"""Markup in the words of items: text without tags, comments and entities."""

import html

import polars as pl

_HIDDEN = r"(?is)<!--.*?-->|<(script|style)\b.*?</(script|style)\s*>"
_INLINE = r"(?i)</?(?:a|abbr|b|em|font|i|mark|small|span|strong|sub|sup|u|wbr)(?:\s[^<>]*)?/?>"
_TAG = r"(?s)</?[a-zA-Z][a-zA-Z0-9:-]*(?:\s[^<>]*)?/?>|<!doctype[^<>]*>"
_MARKED = r"(?i)<[a-z!/]|&(?:#\d+|#x[0-9a-f]+|[a-z][a-z0-9]+);"


def without_markup(text: pl.Expr) -> pl.Expr:
    """Text without tags, comments and entities; also if the markup was stored escaped."""
    marked = pl.when(text.str.contains(_MARKED)).then(text)
    unescaped = _stripped(marked).map_elements(
        html.unescape, return_dtype=pl.String, skip_nulls=True
    )
    plain = _stripped(unescaped)
    return pl.coalesce(plain, text)


def _stripped(text: pl.Expr) -> pl.Expr:
    for pattern, replacement in ((_HIDDEN, " "), (_INLINE, ""), (_TAG, " ")):
        text = text.str.replace_all(pattern, replacement)
    return text
