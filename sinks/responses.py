"""What the answer to a request as a whole means; `sinks.outcomes` reads the items of a good one.

Between a sink and Elasticsearch there may be a proxy or a load balancer with answers of its own: a page for maintenance, a 404 while
nothing stands behind it, a limit of bytes. Such an answer says nothing about a document, so none becomes a dead letter for it.
"""

from typing import Any

from elastic_transport import ApiResponse
from elasticsearch import ApiError

from sinks.outcomes import in_words
from tailrace.errors import Refused, TailraceError

MAX_PAGE = 200
"""Characters of a page that are told."""
TOO_LARGE = 413


class CannotHold(Exception):
    """The request is refused because of what is in it: too large (413), or not valid (400)."""

    def __init__(self, cause: str, *, own: bool) -> None:
        super().__init__(cause)
        self.own = own
        """Whether Elasticsearch itself says so."""


class Later(Exception):
    """The server cannot take the request now."""

    def __init__(self, cause: str, not_before_s: float = 0.0, *, broken: bool = False) -> None:
        super().__init__(cause)
        self.not_before_s = not_before_s
        self.broken = broken
        """As `outcomes.Answers.broken`."""


def items(response: ApiResponse[Any], amount: int, url: str) -> list[dict[str, Any]]:
    """The items of an answer to so many operations. Raises Later where it is no such answer."""
    found = response.body.get("items") if isinstance(response.body, dict) else None
    if not isinstance(found, list):
        raise Later(f"{url}: {_foreign(response.meta.status, response.body)}")
    if len(found) != amount:
        raise Later(f"{url} answered {len(found)} of {amount} operations")
    return found


def in_place_of(error: ApiError, url: str) -> Exception:
    """What to raise: CannotHold, Later, or a TailraceError that ends the sink."""
    status, headers = error.meta.status, error.meta.headers
    own = _is_own(error)
    cause = f"{status} {in_words(error.body['error'])}" if own and error.body else _foreign(status, error.body)
    if status == TOO_LARGE:
        return CannotHold(str(status) if own else cause, own=own)
    if 300 <= status < 400:
        return TailraceError(f"{url} only redirects, to {headers.get('location', 'nowhere')} ({status}): set elasticsearch.url")
    if status in {401, 403, 407}:
        return refused(cause, url)
    if not own:
        return Later(f"{url}: {cause}", _retry_after(headers.get("retry-after")))
    if status in {408, 429} or status >= 500:
        return Later(cause, _retry_after(headers.get("retry-after")), broken=status == 500)
    return CannotHold(cause, own=True) if status == 400 else refused(cause, url)


def refused(cause: str, url: str) -> Refused:
    """`cause` begins with the status."""
    if cause.startswith("404"):
        check = "create the index, or let it be created (action.auto_create_index, the privilege auto_configure)"
    elif cause.startswith("401"):
        check = "check elasticsearch.username and its password, or elasticsearch.api_key"
    elif cause.endswith(_NOT_OWN):
        check = "have what stands between let these requests through, or set elasticsearch.url"
    else:
        check = "grant the user or key what is missing (`tailrace access elasticsearch` prints the role)"
    return Refused(f"Elasticsearch at {url} refused to write: {cause}; {check}")


def _is_own(error: ApiError) -> bool:
    """Whether Elasticsearch itself gave this answer."""
    headers, body = error.meta.headers, error.body
    if error.meta.status == TOO_LARGE and not body:  # a status and nothing more: its request had not come to the code that names itself
        return "server" not in headers
    return headers.get("x-elastic-product") == "Elasticsearch" and isinstance(body, dict) and "error" in body


_NOT_OWN = "(not Elasticsearch's own answer)"


def _foreign(status: int, body: object) -> str:
    page = " ".join(str(body or "").split())[:MAX_PAGE]
    return " ".join(filter(None, (str(status), page, _NOT_OWN)))


def _retry_after(header: str | None) -> float:
    """Seconds that the server asks for; a date (which proxies may send) counts as none."""
    try:
        return min(float(header or 0), 600.0)
    except ValueError:
        return 0.0
