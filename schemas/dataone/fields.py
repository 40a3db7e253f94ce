"""The fields of a record: what they are, and what becomes of them."""

from schemas import counter
from schemas.common import BOOLEAN, COMMON_PROPERTIES, DATE, IP, KEYWORD, LONG, USER_AGENT_PROPERTIES, Mapping, text_and

DROPPED = frozenset(
    {"location", "country", "region", "city", "inFullRobotList", "inPartialRobotList", "isPublic"}
    | {f"geohash_{digits}" for digits in range(1, 10)}
)

PROPERTIES: Mapping = {
    "id": {"type": "text"},
    "eventId": KEYWORD,
    "entryId": {"type": "text"},
    "nodeId": KEYWORD,
    "pid": text_and("key"),
    "seriesId": KEYWORD,
    "portalIdentifier": text_and("keyword"),
    "event": text_and("key"),
    "event_type": KEYWORD,
    "metric_type": text_and("key"),
    "formatType": KEYWORD,
    "formatId": text_and("key"),
    "dateLogged": DATE,
    "dateAggregated": DATE,
    "dateUpdated": DATE,
    "ipAddress": IP,
    "userAgent": text_and("keyword"),
    "size": LONG,
    "rightsHolder": text_and("key"),
    "subject": text_and("key"),
    "readPermission": KEYWORD,
    "versionCompliance": KEYWORD,
    "isRepeatVisit": BOOLEAN,
    "_version_": LONG,
    "beat": {"properties": {"name": KEYWORD, "hostname": text_and("keyword"), "version": KEYWORD}},
    "user_agent": USER_AGENT_PROPERTIES,
    "counter": counter.PROPERTIES,
}
"""`id` is text as in the index that DataONE's clients were written for; `eventId` is its exact twin."""

LISTS = frozenset({"readPermission", "portalIdentifier"})
LEAST_LONG, MOST_LONG = -(1 << 63), (1 << 63) - 1

RESERVED = frozenset(
    {*COMMON_PROPERTIES, "beat", "eventId", "user_agent", "counter"}
    # Elasticsearch's own, which it refuses in a document.
    | {"_id", "_index", "_source", "_routing", "_field_names", "_ignored", "_ignored_source", "_nested_path", "_seq_no", "_version"}
    | {"_primary_term", "_tier", "_type", "_doc_count", "_feature", "_inference_fields", "_data_stream_timestamp"}
)

KNOWN = tuple(name for name in PROPERTIES if name not in RESERVED)
"""Fields that DataONE has had so far and that are kept."""
