"""The command `tailrace ship`."""

import signal
import socket
from contextlib import closing
from pathlib import Path

import click

from producers.checkpoint import Store
from producers.progress import Progress
from producers.publish import Publisher
from producers.ship import Shipper
from schemas.source import Source
from tailrace import kafka, options
from tailrace.settings import Settings
from tailrace.sources import load_sources


@click.command()
@click.option("--once", is_flag=True, help="Ship what is there now and end: exit code 0 only if all of it is acknowledged.")
@options.sources
@options.wait
@options.pass_settings
def ship(settings: Settings, once: bool, source_names: tuple[str, ...], wait_s: float) -> None:
    """Tail the files of the sources and publish their records to Kafka.

    Goes on where it was stopped: the checkpoint in state_dir/ship covers acknowledged bytes only. SIGTERM and Ctrl-C end it
    cleanly, with what was read delivered.
    """
    names = options.chosen(settings, source_names)
    sources = list(load_sources(settings, names).values())
    with closing(Store(Path(settings.state_dir) / "ship")) as store:
        kafka.ensure_topics(kafka.connect(settings.kafka, wait_s), settings.kafka, names)
        run(settings, sources, store, once=once)


def run(settings: Settings, sources: list[Source], store: Store, *, once: bool) -> None:
    """Ship until stopped by a signal, or with `once` until all is acknowledged. Topics exist."""
    publisher = Publisher(settings.kafka, lambda: shipper.stopping)
    shipper = Shipper(sources, settings.host or socket.gethostname(), publisher, store, once=once)
    before = {number: signal.signal(number, lambda *_: shipper.stop()) for number in (signal.SIGTERM, signal.SIGINT)}
    try:
        shipper.run(Progress() if once else None)
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
        publisher.close()
