"""Elasticsearch mappings of the fields that every source's documents share, and the pieces mappings are made of.

`COMMON_PROPERTIES` is written once, here: the sink merges it with a source's own `properties`, and a parser keeps a
record's own fields from taking one of these names.
"""

from typing import Any

Mapping = dict[str, Any]

KEYWORD_CHARACTERS = 8_191
"""Longest keyword that is indexed: Lucene refuses terms over 32,766 bytes, and a character has up to four."""

KEYWORD: Mapping = {"type": "keyword", "ignore_above": KEYWORD_CHARACTERS}
TEXT: Mapping = {"type": "text"}
LONG: Mapping = {"type": "long", "ignore_malformed": True}
FLOAT: Mapping = {"type": "float", "ignore_malformed": True}
BOOLEAN: Mapping = {"type": "boolean"}
DATE: Mapping = {"type": "date", "ignore_malformed": True}
IP: Mapping = {"type": "ip", "ignore_malformed": True}


def text_and(subfield: str) -> Mapping:
    """Full text whose exact value is found, sorted and counted under `<name>.<subfield>`."""
    return {**TEXT, "fields": {subfield: KEYWORD}}


GEOIP_PROPERTIES: Mapping = {
    "ip": IP,
    "city_name": text_and("keyword"),
    "continent_code": text_and("keyword"),
    "country_code2": text_and("keyword"),
    "country_code3": text_and("keyword"),
    "country_name": text_and("keyword"),
    "dma_code": LONG,
    "latitude": FLOAT,
    "longitude": FLOAT,
    "location": {"type": "geo_point"},
    "postal_code": text_and("keyword"),
    "region_code": text_and("keyword"),
    "region_name": text_and("keyword"),
    "timezone": text_and("keyword"),
    "asn": LONG,
    "as_org": text_and("keyword"),
}
"""What `streams.geography` writes; Logstash's names, with the `.keyword` that its users' queries name."""

USER_AGENT_PROPERTIES: Mapping = {
    "properties": {
        "name": KEYWORD,
        "version": KEYWORD,
        "os": {"properties": {"name": KEYWORD, "version": KEYWORD}},
        "device": {"properties": {"name": KEYWORD}},
    }
}
"""What `streams.browsers` writes under `user_agent`, in the words of the Elastic Common Schema."""

COMMON_PROPERTIES: Mapping = {
    "@timestamp": DATE,
    "tags": KEYWORD,
    "fields": {"properties": {"env": KEYWORD, "entryType": KEYWORD}},
    "host": KEYWORD,
    "source": KEYWORD,
    "file": KEYWORD,
    "offset": LONG,
    "problems": KEYWORD,
    "sessionId": LONG,
    "late_session": BOOLEAN,
    "geoip": {"properties": GEOIP_PROPERTIES},
    "client_class": KEYWORD,
}
