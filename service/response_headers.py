"""Headers that every answer carries so that a browser does nothing unasked with it.

Names and values; knows nothing about routes.
"""

HEADERS = {
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Referrer-Policy": "no-referrer",
    "Content-Security-Policy": "default-src 'none'; frame-ancestors 'none'",
    "Cache-Control": "no-store",
}
"""Ref: OWASP REST Security Cheat Sheet, Security Headers. TLS, and with it
Strict-Transport-Security, is the business of whatever ends TLS in front of the service."""

RAW_HEADERS = [(name.lower().encode(), value.encode()) for name, value in HEADERS.items()]
"""As ASGI sends them."""
