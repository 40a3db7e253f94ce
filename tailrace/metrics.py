"""Every metric, by name, and how they are told to Prometheus.

Figures are read where they are kept when they are asked for, so they cost nothing otherwise: gauges, counters and a histogram, a few
hundred lines of text, for which no library is needed on a producer's host.
"""

from bisect import bisect_left
from collections.abc import Iterable, Sequence
from functools import cache
from itertools import accumulate
from typing import Literal, NamedTuple

CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"


class Metric(NamedTuple):
    name: str
    kind: Literal["gauge", "counter", "histogram"]
    help: str
    labels: tuple[str, ...] = ()


_FILE = ("source", "file", "path")

# One file of a producer, while it grows or has anything to ship (producers.figures). `file` is the file id; `path` is where the file
# is now, so it changes with a rename.
SHIP_FILE_SIZE = Metric("tailrace_ship_file_size_bytes", "gauge", "Bytes of the file when last looked at", _FILE)
# Goes back to 0 when the file is another one of the same path: that has an id of its own.
SHIP_FILE_READ = Metric("tailrace_ship_file_read_bytes", "gauge", "Offset up to which the file was read", _FILE)
# What the checkpoint holds.
SHIP_FILE_ACKNOWLEDGED = Metric("tailrace_ship_file_acknowledged_bytes", "gauge", "Offset up to which everything is on Kafka", _FILE)
# The one to alert on, over minutes: an unterminated last line counts, too.
SHIP_FILE_LAG = Metric("tailrace_ship_file_lag_bytes", "gauge", "Bytes of the file that are not acknowledged", _FILE)

# One producer. Files that rest have no figures of their own.
SHIP_LAG = Metric("tailrace_ship_lag_bytes", "gauge", "Bytes of all files that are not acknowledged", ("source",))
SHIP_FILES = Metric("tailrace_ship_files", "gauge", "Files that are followed", ("source",))
SHIP_OPEN_FILES = Metric("tailrace_ship_open_files", "gauge", "Files that are open", ("source",))
SHIP_UNREADABLE_FILES = Metric("tailrace_ship_unreadable_files", "gauge", "Files that were found and cannot be read")
# Torn ends and dead letters included; records that are sent again count again.
SHIP_RECORDS = Metric("tailrace_ship_acknowledged_records_total", "counter", "Records acknowledged since the start")
SHIP_DEAD_LETTERS = Metric("tailrace_ship_dead_letters_total", "counter", "Records that went to the dead letters since the start")
# Handed to the Kafka client and not acknowledged; full at 100,000, and then reading waits.
SHIP_QUEUE = Metric("tailrace_ship_queue_records", "gauge", "Records that wait for Kafka")
# Lost connections, mostly; the client mends them by itself.
SHIP_KAFKA_ERRORS = Metric("tailrace_ship_kafka_errors_total", "counter", "Errors that the Kafka client reported since the start")
SHIP_CHECKPOINT_FAILED = Metric("tailrace_ship_checkpoint_failed", "gauge", "1 where the checkpoint could not be written last time")
# Of a limit by ship.records_per_second or bytes_per_second.
SHIP_THROTTLED = Metric("tailrace_ship_throttled_seconds", "gauge", "How long nothing is read because of the rate limit")
# Unix time; 0: not known yet.
SHIP_SHIPPED_BEFORE = Metric("tailrace_ship_watermark_seconds", "gauge", "Everything written before this is shipped", ("source",))

# One harvester.
HARVEST_RECORDS = Metric("tailrace_harvest_acknowledged_records_total", "counter", "Events acknowledged since the start", ("source",))
HARVEST_DEAD_LETTERS = Metric("tailrace_harvest_dead_letters_total", "counter", "Events that went to the dead letters since the start")
HARVEST_QUEUE = Metric("tailrace_harvest_queue_records", "gauge", "Records that wait for Kafka")
HARVEST_KAFKA_ERRORS = Metric("tailrace_harvest_kafka_errors_total", "counter", "Errors that the Kafka client reported since the start")
HARVEST_CHECKPOINT_FAILED = Metric("tailrace_harvest_checkpoint_failed", "gauge", "1 where the checkpoint could not be written last time")
# Unix time; 0: it answers.
HARVEST_WAITING_SINCE = Metric(
    "tailrace_harvest_waiting_since_seconds", "gauge", "Since when the core has given no usable answer", ("source",)
)
# Unix time; 0: not known yet. The one to alert on, over minutes.
HARVEST_SHIPPED_BEFORE = Metric("tailrace_harvest_watermark_seconds", "gauge", "Everything indexed before this is on Kafka", ("source",))

# One worker of the streams. `topic` and `partition` are those that it reads.
_PARTITION = ("topic", "partition")
# Done means that Kafka holds what came of them; records that are read again count again.
STREAM_RECORDS = Metric("tailrace_stream_records_total", "counter", "Records done since the start", ("topic",))
# Of a topic `*.events` these are events, of `*.dead` dead letters; of `*.enriched` events and, beyond the records done, patches.
STREAM_OUTPUTS = Metric("tailrace_stream_outputs_total", "counter", "Records acknowledged by Kafka since the start", ("topic",))
STREAM_BATCHES = Metric("tailrace_stream_batches_in_flight", "gauge", "Batches begun and not done")
# The one to alert on, over minutes.
STREAM_LAG = Metric("tailrace_stream_lag_records", "gauge", "Offsets that are not committed", _PARTITION)
# Unix time that Kafka gave it; 0: nothing is in flight.
STREAM_OLDEST = Metric("tailrace_stream_oldest_record_seconds", "gauge", "Time of the oldest record in flight")
# 0 while events flow.
STREAM_RECOVERY = Metric("tailrace_stream_recovery_remaining_records", "gauge", "Changelog offsets to read before events flow")
STREAM_RECOVERED = Metric("tailrace_stream_recovered_records_total", "counter", "Changelog records read since the start")
# Standbys included. Of an active partition: what its last transaction wrote.
STREAM_TABLE = Metric("tailrace_stream_table_offset", "gauge", "Changelog offset that the copy of a partition stands for", _PARTITION)

# One sink. Of an outcome: `indexed` (the document is new), `repeated` (it was there), `patched` and `deleted`. Records that are read
# again count again.
SINK_DOCUMENTS = Metric("tailrace_sink_documents_total", "counter", "Operations that the index took since the start", ("outcome",))
# The reason `patch_without_document`: a patch of a document that the index does not hold.
SINK_DEAD_LETTERS = Metric("tailrace_sink_dead_letters_total", "counter", "Dead letters since the start", ("reason",))
# `status` is HTTP's, or `none` where no answer came.
SINK_REQUESTS = Metric("tailrace_sink_bulk_requests_total", "counter", "Bulk requests since the start", ("status",))
SINK_LATENCY = Metric("tailrace_sink_bulk_seconds", "histogram", "Time until a bulk request was answered, or was given up")
SINK_BYTES = Metric("tailrace_sink_bulk_bytes_total", "counter", "Bytes of bulk requests since the start")
SINK_RETRIED = Metric("tailrace_sink_retried_operations_total", "counter", "Operations sent again since the start")
# The one to alert on, over minutes. Up to what the index or a dead letter holds.
SINK_LAG = Metric("tailrace_sink_lag_records", "gauge", "Records of <source>.enriched that are not settled", _PARTITION)
# Unix times; 0: nothing is in hand. The event's own time, of events only, and the time that Kafka gave any record.
SINK_OLDEST_EVENT = Metric("tailrace_sink_oldest_event_seconds", "gauge", "Time of the oldest event in hand that may not be indexed")
SINK_OLDEST_RECORD = Metric("tailrace_sink_oldest_record_seconds", "gauge", "Time of the oldest record in hand that may not be indexed")
# Unix time; 0: it does not wait.
SINK_WAITING_SINCE = Metric("tailrace_sink_waiting_since_seconds", "gauge", "Since when Elasticsearch has taken nothing of a batch")


class Sample(NamedTuple):
    metric: Metric
    value: float
    labels: tuple[str, ...] = ()
    """Values, in the order of the metric's labels; of a `_bucket` one more, its upper bound."""
    part: Literal["", "_bucket", "_sum", "_count"] = ""
    """Of a histogram."""


class Histogram:
    """Counts values by size. Not guarded against use from several threads."""

    def __init__(self, bounds: Sequence[float]) -> None:
        """`bounds`: ascending; a value belongs to the first that it does not exceed."""
        self._bounds = tuple(bounds)
        self._counts = [0] * (len(bounds) + 1)
        self._sum = 0.0

    def observe(self, value: float) -> None:
        self._counts[bisect_left(self._bounds, value)] += 1
        self._sum += value

    def samples(self, metric: Metric) -> list[Sample]:
        bounds = [*(f"{bound:g}" for bound in self._bounds), "+Inf"]
        up_to = list(accumulate(self._counts))
        buckets = [Sample(metric, count, (bound,), "_bucket") for bound, count in zip(bounds, up_to, strict=True)]
        return [*buckets, Sample(metric, self._sum, (), "_sum"), Sample(metric, up_to[-1], (), "_count")]


def expose(samples: Iterable[Sample]) -> str:
    """Prometheus' text format, version 0.0.4: the samples of each metric together, below its help and type."""
    by_metric: dict[Metric, list[Sample]] = {}
    for sample in samples:
        by_metric.setdefault(sample.metric, []).append(sample)
    lines: list[str] = []
    labels = cache(_labels)  # those of a file are written four times
    for metric, found in by_metric.items():
        lines += [f"# HELP {metric.name} {metric.help}", f"# TYPE {metric.name} {metric.kind}"]
        lines += (f"{metric.name}{sample.part}{labels(_names(sample), sample.labels)} {+sample.value!r}" for sample in found)
    return "\n".join([*lines, ""])


def _names(sample: Sample) -> tuple[str, ...]:
    return (*sample.metric.labels, "le") if sample.part == "_bucket" else sample.metric.labels


def _labels(names: tuple[str, ...], values: tuple[str, ...]) -> str:
    inner = ",".join(f'{name}="{_escaped(value)}"' for name, value in zip(names, values, strict=True))
    return f"{{{inner}}}" if inner else ""


def _escaped(value: str) -> str:
    return value.replace("\\", r"\\").replace('"', r"\"").replace("\n", r"\n").encode(errors="replace").decode()
