"""The command `tailrace sink`."""

import logging
import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager

import click
from elasticsearch import OrjsonSerializer

from sinks.consume import COLLECT_EVERY, Sink
from sinks.fields import Fields
from sinks.figures import Figures
from tailrace import generations, kafka, kafka_access, options, search, signals
from tailrace.garbage import collect_seldom
from tailrace.monitor import Answers, answered
from tailrace.settings import Settings
from tailrace.sources import load_sources

log = logging.getLogger("tailrace.sink")


@click.command(short_help="Write events to Elasticsearch.")
@options.sources
@options.wait
@generations.option
@options.pass_settings
def sink(settings: Settings, source_names: tuple[str, ...], wait_s: float, generation: str | None) -> None:
    """Write the events of <source>.enriched to Elasticsearch, into indices by event month.

    Index templates are put at the start where they are missing or older, and whenever a file of actions changes; indices that are there
    get the fields that they lack. An event's id is its document's id, so nothing that is
    written twice stands twice. Offsets are committed when the index holds the documents; what it cannot hold goes to <source>.dead
    with the server's reason. When Elasticsearch is overloaded, blocked or gone, the sink waits and goes on by itself.

    Any number of sinks share the partitions. SIGTERM, SIGHUP and Ctrl-C end it cleanly; after a kill it goes on where it was.
    """
    names = options.chosen(settings, source_names)
    sources = load_sources(settings, settings.sources)  # all: sources that share an index share a template
    admin = kafka.connect(settings.kafka, wait_s)
    settings = generations.resolve(settings, generation)
    fields = Fields(settings.elasticsearch, sources.values())
    client = search.connect(settings.elasticsearch, wait_s, serializer=OrjsonSerializer())  # answers are long
    kafka_access.require(admin, settings.kafka, "sink", names)
    fields.install(client)
    collect_seldom(COLLECT_EVERY)
    writer = Sink(settings, [sources[name] for name in names], client)
    figures = Figures(writer)
    answers = Answers(figures.samples, figures.health)
    with answered("sink.monitor", settings.sink.monitor, answers), stopped_by_signals() as stop, fields.followed(client, stop):
        writer.run(stop)
    log.info("stopped")


@contextmanager
def stopped_by_signals() -> Iterator[threading.Event]:
    """An event that SIGTERM, SIGHUP and Ctrl-C set; a second Ctrl-C ends at once."""
    stop = threading.Event()

    def end() -> None:
        stop.set()
        signal.signal(signal.SIGINT, signal.default_int_handler)

    with signals.handled(end, *signals.ending()):
        yield stop
