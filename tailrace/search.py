"""Elasticsearch as every room meets it: a client, and a server that answers."""

import logging
import time
from contextlib import suppress

from elasticsearch import ApiError, AuthenticationException, AuthorizationException, Elasticsearch, SSLError, TransportError

from tailrace import settings as config
from tailrace.errors import Refused, TailraceError, Unreachable

log = logging.getLogger("tailrace.search")


def client(elasticsearch: config.Elasticsearch, **extra: object) -> Elasticsearch:
    """A client that has asked nothing yet. What a node does not hear, since it is gone, the next one is asked; nothing else is repeated.

    Raises ConfigError for secrets and certificates that cannot be read.
    """
    nodes = [url.strip() for url in elasticsearch.url.split(",")]
    password = config.secret(elasticsearch.password, elasticsearch.password_file, "elasticsearch.password")
    api_key = config.secret(elasticsearch.api_key, elasticsearch.api_key_file, "elasticsearch.api_key")
    options: dict[str, object] = {
        "request_timeout": 60,
        "max_retries": len(nodes) - 1,
        "retry_on_timeout": False,
        "retry_on_status": (),
        **extra,
    }
    if api_key:
        options["api_key"] = api_key
    elif elasticsearch.username:
        options["basic_auth"] = (elasticsearch.username, password or "")
    if elasticsearch.ca_certs:
        options["ca_certs"] = config.certificates(elasticsearch.ca_certs, "elasticsearch.ca_certs")
    return Elasticsearch(nodes, **options)  # type: ignore[arg-type]


def connect(elasticsearch: config.Elasticsearch, wait_s: float = 0.0, **extra: object) -> Elasticsearch:
    """A client of a server that has answered a request; `extra` options are Elasticsearch's own.

    Raises Refused for a wrong password or key, a missing privilege and a certificate that is not trusted, Unreachable
    where nothing answers within `wait_s` seconds (at least one try).
    """
    found = client(elasticsearch, **extra)
    deadline = time.monotonic() + wait_s
    said = False
    while True:
        try:
            found.info()
            return found
        except AuthenticationException:
            raise Refused(
                f"Elasticsearch at {elasticsearch.url} refused the connection (401); "
                "check elasticsearch.username and its password, or elasticsearch.api_key"
            ) from None
        except AuthorizationException:
            raise Refused(
                f"Elasticsearch at {elasticsearch.url} refused to say what it is (403); grant this user or key the cluster privilege "
                "monitor (`tailrace access elasticsearch` prints the roles)"
            ) from None
        except SSLError as error:
            raise Refused(
                f"there is no secure connection to Elasticsearch at {elasticsearch.url}: {error.message}; check elasticsearch.ca_certs "
                "(the authority that signed the server's certificate), and the scheme and host name in elasticsearch.url"
            ) from None
        except (TransportError, ApiError) as error:
            if time.monotonic() >= deadline:
                raise Unreachable(
                    f"Elasticsearch does not answer at {elasticsearch.url} ({_cause(error)}); start it (`tailrace up` starts one here), "
                    "set elasticsearch.url (http or https?), or give --wait more time"
                ) from None
        except ValueError as error:
            raise TailraceError(f"elasticsearch.url = {elasticsearch.url!r}: {error}") from None
        if not said:
            log.warning("waiting up to %.0f s for Elasticsearch at %s", wait_s, elasticsearch.url)
            said = True
        time.sleep(0.5)


def _cause(error: TransportError | ApiError) -> str:
    """`[Errno 111] Connection refused`, without the client's words about its objects."""
    return f"HTTP {error.status_code}" if isinstance(error, ApiError) else str(error.message).rpartition("): ")[2]


def say_closed(client: Elasticsearch, pattern: str) -> None:
    """Warn of closed indices, which no search sees and none complains of; not where this user may not know the indices."""
    with suppress(ApiError):
        found = client.indices.resolve_index(name=pattern, expand_wildcards=["closed", "hidden"])["indices"]
        if closed := [index["name"] for index in found if "closed" in index["attributes"]]:
            log.warning("closed indices, whose documents are not seen (`POST /NAME/_open` opens one): %s", ", ".join(closed))
