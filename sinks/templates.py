"""Index templates: what an index of a source is, said before its first document.

One component template holds what all sources share, one index template per index name holds a source's own fields. They are put
where they are missing, older or different; one that a newer Tailrace put is left alone.
"""

import hashlib
import logging
from collections.abc import Collection, Iterable, Mapping
from typing import Any

import orjson
from elasticsearch import ApiError, AuthorizationException, Elasticsearch, TransportError

from schemas.common import BOOLEAN, COMMON_PROPERTIES, DATE, FLOAT, KEYWORD, LONG
from schemas.source import Source
from tailrace import settings as config
from tailrace.errors import ConfigError, Refused, TailraceError, Unreachable

log = logging.getLogger("tailrace.sink")

VERSION = 2
"""Raised with every change of what this module writes, so that an older sink beside a newer one does not put its own back."""

PRIORITY = 500
"""Above Elasticsearch's own templates (at most 200)."""

FIELD_LIMIT = 1_000
"""Fields of an index. Fields beyond it are kept in the document but cannot be searched, so no source can explode a mapping."""

UNKNOWN_STRING = {"type": "keyword", "ignore_above": 1_024, "fields": {"keyword": {"type": "keyword", "ignore_above": 1_024}}}
"""Answers both spellings that people try, `elem1` and `elem1.keyword`."""

DYNAMIC_TEMPLATES = [
    {"strings": {"match_mapping_type": "string", "mapping": UNKNOWN_STRING}},
    {"integers": {"match_mapping_type": "long", "mapping": {"type": "long"}}},
    {"fractions": {"match_mapping_type": "double", "mapping": {"type": "double"}}},
]


def common_name(elasticsearch: config.Elasticsearch) -> str:
    return f"{elasticsearch.index_prefix}tailrace-common"


def view_name(template: str) -> str:
    """The component template that says whether users see what the index template makes (`sinks.view`)."""
    return f"{template}-view"


def component(elasticsearch: config.Elasticsearch) -> dict[str, Any]:
    """The component template: settings, the common fields, and what becomes of fields that nobody declared."""
    lifecycle = {} if elasticsearch.ilm_policy is None else {"index.lifecycle.name": elasticsearch.ilm_policy}
    return {
        "template": {
            "settings": {
                "index.number_of_shards": elasticsearch.number_of_shards,
                "index.number_of_replicas": elasticsearch.number_of_replicas,
                "index.refresh_interval": elasticsearch.refresh_interval,
                "index.codec": elasticsearch.codec,
                "index.mapping.ignore_malformed": True,
                "index.mapping.ignore_above": KEYWORD["ignore_above"],
                "index.mapping.total_fields.limit": FIELD_LIMIT,
                "index.mapping.total_fields.ignore_dynamic_beyond_limit": True,
                **lifecycle,
            },
            "mappings": {
                "date_detection": False,
                "numeric_detection": False,
                "dynamic_templates": DYNAMIC_TEMPLATES,
                "properties": COMMON_PROPERTIES,
            },
        },
    }


def index_templates(elasticsearch: config.Elasticsearch, sources: Iterable[Source]) -> dict[str, dict[str, Any]]:
    """Index templates by name: one for each index name, so sources that share an index share a template, named after the first.

    Raises ConfigError where two sources want the same field of the same index with different types.
    """
    found: dict[str, dict[str, Any]] = {}
    first: dict[str, str] = {}
    for source in sources:
        name = f"{elasticsearch.index_prefix}tailrace-{first.setdefault(source.index, source.name)}"
        if name not in found:
            pattern = f"{elasticsearch.index_prefix}{source.index}-*"
            found[name] = {
                "index_patterns": [pattern],
                "priority": PRIORITY + len(pattern),  # of `log-*` and `log-web-*` the second is for log-web-2026.11
                "composed_of": [common_name(elasticsearch), view_name(name)],
                "ignore_missing_component_templates": [view_name(name)],  # as long as nothing was switched
                "template": {"mappings": {"properties": {}}},
            }
        properties = found[name]["template"]["mappings"]["properties"]
        for field, mapping in source.properties.items():
            if properties.setdefault(field, mapping) != mapping:
                raise ConfigError(
                    f"sources.{first[source.index]} and sources.{source.name} share the index {source.index} but not the type of the "
                    f"field {field}: give one of them another `index`, or both the same type"
                )
    return found


def summary_templates(elasticsearch: config.Elasticsearch, sources: Iterable[Source]) -> dict[str, dict[str, Any]]:
    """Index templates by name: one for each family of documents that sum up a source's events, `<index>-<family>-YYYY.MM`.

    These indices are hidden, so that a pattern such as `ezcast-*` finds each event once and nothing else. Their alias
    `<index>-<family>` finds them all.
    """
    found = {}
    for source in sources:
        for family in source.families:
            alias = f"{elasticsearch.index_prefix}{source.index}-{family}"
            name = f"{elasticsearch.index_prefix}tailrace-{source.name}-{family}"
            found[name] = {
                "index_patterns": [f"{alias}-*"],
                "priority": PRIORITY + len(alias) + 2,
                "composed_of": [common_name(elasticsearch), view_name(name)],
                "template": {
                    "settings": {"index.hidden": True},
                    "mappings": {"properties": _summary_properties(source, family)},
                },
            }
    return found


def summary_aliases(elasticsearch: config.Elasticsearch, sources: Iterable[Source]) -> dict[str, str]:
    """The alias of each of the `summary_templates`."""
    return {name: body["index_patterns"][0].removesuffix("-*") for name, body in summary_templates(elasticsearch, sources).items()}


def _summary_properties(source: Source, family: str) -> dict[str, Any]:
    if family == "sessions":
        return {"client": KEYWORD, "end": DATE, "duration": FLOAT, "events": LONG, **source.session_properties}
    views = source.views
    assert views is not None
    own = {name: source.properties[name] for name in (*views.identity, *views.beside, views.amount)}
    day = {"type": "date", "format": "strict_date"}
    return {"client": KEYWORD, "day": day, "viewed": BOOLEAN, **own, **source.session_properties}


def install(client: Elasticsearch, elasticsearch: config.Elasticsearch, sources: Collection[Source]) -> None:
    """Put what differs. Raises Refused without the privilege, Unreachable, TailraceError for what Elasticsearch will not take."""
    common = common_name(elasticsearch)
    try:
        _put(client, f"/_component_template/{common}", "component_templates", "component_template", component(elasticsearch))
        for name, alias in summary_aliases(elasticsearch, sources).items():
            if not client.cluster.exists_component_template(name=view_name(name)):  # a switch of generations changes it
                client.cluster.put_component_template(name=view_name(name), template={"aliases": {alias: {"is_hidden": True}}})
        for name, body in (index_templates(elasticsearch, sources) | summary_templates(elasticsearch, sources)).items():
            _put(client, f"/_index_template/{name}", "index_templates", "index_template", body)
    except AuthorizationException as error:
        raise Refused(
            f"Elasticsearch at {elasticsearch.url} refused the index templates: {error}; the sink needs the cluster privilege "
            "manage_index_templates"
        ) from None
    except ApiError as error:
        hint = "; leave elasticsearch.ilm_policy out, which this server does not know" if "index.lifecycle" in str(error) else ""
        raise TailraceError(f"Elasticsearch at {elasticsearch.url} cannot use an index template: {error}{hint}") from None
    except TransportError as error:
        raise Unreachable(f"Elasticsearch at {elasticsearch.url} went away before it had its index templates: {error.message}") from None


def _put(client: Elasticsearch, path: str, plural: str, singular: str, body: Mapping[str, Any]) -> None:
    """Put one template unless the one there says that it was made from the same or by a newer Tailrace.

    Elasticsearch returns templates in another spelling, so a hash in `_meta` says what was put.
    """
    digest = hashlib.sha256(orjson.dumps(body, option=orjson.OPT_SORT_KEYS)).hexdigest()[:16]
    accept = {"accept": "application/json", "content-type": "application/json"}
    answer = client.options(ignore_status=404).perform_request("GET", path, headers=accept)
    found = answer.body[plural][0][singular] if answer.meta.status == 200 else {}
    if found.get("version", 0) > VERSION:
        log.warning("%s was put by a newer Tailrace (version %d, here %d): left as it is", path, found["version"], VERSION)
        return
    if found.get("version") == VERSION and found.get("_meta", {}).get("hash") == digest:
        return
    client.perform_request("PUT", path, headers=accept, body={**body, "version": VERSION, "_meta": {"hash": digest}})
    log.info("put %s", path)
