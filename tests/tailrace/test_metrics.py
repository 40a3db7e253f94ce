"""The names of the metrics, and their text."""

import re

from tailrace import metrics
from tailrace.metrics import Histogram, Metric, Sample, expose
from tests.conftest import REPOSITORY

ALL = [value for value in vars(metrics).values() if isinstance(value, Metric)]


def test_names_are_unique_and_end_as_prometheus_asks() -> None:
    assert len({metric.name for metric in ALL}) == len(ALL) > 10
    for metric in ALL:
        assert re.fullmatch(r"tailrace_[a-z]+_[a-z_]+", metric.name)
        assert metric.name.endswith("_total") == (metric.kind == "counter")


def test_operators_find_each_metric_in_the_list() -> None:
    listed = (REPOSITORY / "tailrace/README.md").read_text().splitlines()
    rows = [f"| `{metric.name}` | {metric.kind} | {', '.join(metric.labels)} | {metric.help} |" for metric in ALL]
    assert [line for line in listed if line.startswith("| `tailrace_")] == rows


def test_samples_stand_together_below_help_and_type_with_labels_escaped() -> None:
    samples = [
        Sample(metrics.SHIP_FILE_SIZE, 12_345_678_901_234_567, ("a", "0f", 'C:\\new "file"\n')),
        Sample(metrics.SHIP_QUEUE, 0),
        Sample(metrics.SHIP_CHECKPOINT_FAILED, True),
        Sample(metrics.SHIP_FILE_SIZE, 0.25, ("a", "1f", "caf\udce9")),
    ]
    assert expose(samples) == (
        "# HELP tailrace_ship_file_size_bytes Bytes of the file when last looked at\n"
        "# TYPE tailrace_ship_file_size_bytes gauge\n"
        'tailrace_ship_file_size_bytes{source="a",file="0f",path="C:\\\\new \\"file\\"\\n"} 12345678901234567\n'
        'tailrace_ship_file_size_bytes{source="a",file="1f",path="caf?"} 0.25\n'
        "# HELP tailrace_ship_queue_records Records that wait for Kafka\n"
        "# TYPE tailrace_ship_queue_records gauge\n"
        "tailrace_ship_queue_records 0\n"
        "# HELP tailrace_ship_checkpoint_failed 1 where the checkpoint could not be written last time\n"
        "# TYPE tailrace_ship_checkpoint_failed gauge\n"
        "tailrace_ship_checkpoint_failed 1\n"
    )
    assert expose([]) == ""


def test_a_histogram_counts_up_to_each_bound() -> None:
    histogram = Histogram((0.5, 1, 60))
    for value in (0.5, 0.6, 0.7, 61):
        histogram.observe(value)
    assert expose(histogram.samples(metrics.SINK_LATENCY)).splitlines()[1:] == [
        "# TYPE tailrace_sink_bulk_seconds histogram",
        'tailrace_sink_bulk_seconds_bucket{le="0.5"} 1',
        'tailrace_sink_bulk_seconds_bucket{le="1"} 3',
        'tailrace_sink_bulk_seconds_bucket{le="60"} 3',
        'tailrace_sink_bulk_seconds_bucket{le="+Inf"} 4',
        "tailrace_sink_bulk_seconds_sum 62.8",
        "tailrace_sink_bulk_seconds_count 4",
    ]
