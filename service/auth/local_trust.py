"""What a service that asks for no keys believes of a browser on its own machine.

Whoever may connect may change things there, and a browser connects for every page that its user
opens. A page of another site can name this machine as its own host (DNS rebinding), or send a
request without reading the answer (cross-site request forgery). So requests have to name a host
that is this machine's, and changes have to come from a page of this service, or from no page.

Ref: OWASP Cross-Site Request Forgery Prevention Cheat Sheet, Verifying Origin With Standard Headers
and Fetch Metadata.
"""

from collections.abc import Mapping, Sequence
from urllib.parse import urlsplit

from service.ops.metrics import Metrics
from service.ops.settings import host_of, is_local
from service.schemas.errors import Forbidden, InvalidRequest

_READING = frozenset({"GET", "HEAD", "OPTIONS"})
_PROBES = frozenset({"/livez", "/readyz"})
"""They tell nothing and change nothing; who probes names any host."""
_BODIES = ("application/json", "application/x-ndjson")
"""What a page of another site cannot send without being asked for leave first."""
_SETTING = "name the hosts in MAGNET_ALLOWED_HOSTS, or give the service keys (MAGNET_KEYS_FILE)"


class LocalTrust:
    """Refuses what pages of other sites may have sent; one per application.

    Args:
        metrics: where refusals are counted.
        hosts: that requests may name, `*.` for all below a name.
        origins: of other sites whose pages may change things too.
        asks_for_keys: whether callers show keys, which no page of another site has.
        allow_anonymous: whether anybody may ask for anything.
    """

    def __init__(
        self,
        metrics: Metrics,
        hosts: Sequence[str],
        origins: Sequence[str] = (),
        *,
        asks_for_keys: bool,
        allow_anonymous: bool,
    ) -> None:
        self._metrics = metrics
        self._hosts = frozenset(hosts)
        self._origins = frozenset(origins)
        self._is_open = not (asks_for_keys or allow_anonymous)

    def check(self, method: str, path: str, headers: Mapping[bytes, bytes]) -> None:
        """Let a request pass; Forbidden, InvalidRequest."""
        if path in _PROBES or not (self._hosts or self._is_open):
            return
        named = headers.get(b"host", b"").decode("latin-1")
        if not self._is_trusted(host_of(named)):
            self._refuse(
                "host", f"this service is not known by the host that was named; {_SETTING}"
            )
        if self._is_open and method not in _READING:
            self._check_change(named, headers)

    def _check_change(self, named: str, headers: Mapping[bytes, bytes]) -> None:
        origin = headers.get(b"origin", b"").decode("latin-1")
        site = headers.get(b"sec-fetch-site", b"none").decode("latin-1")
        if origin:
            place = urlsplit(origin).netloc if "://" in origin else ""
            fits = place == named or origin in self._origins or host_of(place) in self._hosts
        else:
            fits = site in ("same-origin", "none")
        if not fits:
            self._refuse("origin", f"a page of another site may change nothing here; {_SETTING}")
        kind = headers.get(b"content-type", b"").decode("latin-1").partition(";")[0].strip().lower()
        has_body = headers.get(b"content-length", b"0") != b"0" or b"transfer-encoding" in headers
        if has_body and kind and kind not in _BODIES and not kind.endswith("+json"):
            raise InvalidRequest.of("header.content-type", f"send the body as {_BODIES[0]}")

    def _is_trusted(self, host: str | None) -> bool:
        if host is None:
            return False
        if self._is_open and is_local(host) and not host.startswith("/"):
            return True
        below = {f"*.{host[place + 1 :]}" for place, sign in enumerate(host) if sign == "."}
        return host in self._hosts or not below.isdisjoint(self._hosts)

    def _refuse(self, reason: str, detail: str) -> None:
        self._metrics.auth_refusals.labels(reason).inc()
        raise Forbidden(detail)
