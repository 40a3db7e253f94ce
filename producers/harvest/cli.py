"""The command `tailrace harvest`."""

from contextlib import closing
from datetime import UTC, datetime
from pathlib import Path

import click

from producers.checkpoint import Store
from producers.harvest import figures
from producers.harvest.core import Core
from producers.harvest.harvester import Harvester
from producers.publish import Publisher
from tailrace import kafka, kafka_access, options, signals
from tailrace.errors import ConfigError
from tailrace.monitor import Answers, answered
from tailrace.settings import Settings
from tailrace.solr import place_of, version_of
from tailrace.sources import load_sources


@click.command()
@click.option("--once", is_flag=True, help="Harvest what is there now and end: exit code 0 only if all of it is acknowledged.")
@click.option(
    "--since",
    type=click.DateTime(["%Y-%m-%d", "%Y-%m-%dT%H:%M:%S"]),
    metavar="TIME",
    help="Go back and read again what was indexed since then (UTC), such as after a core was put back to an older state. Same ids.",
)
@options.sources
@options.wait
@options.pass_settings
def harvest(settings: Settings, once: bool, since: datetime | None, source_names: tuple[str, ...], wait_s: float) -> None:
    """Copy new events from DataONE's event core (Solr) to Kafka.

    For sources with a solr_url. Goes on where it was stopped: the checkpoint in state_dir/harvest covers acknowledged documents only.
    SIGTERM, SIGHUP and Ctrl-C end it cleanly. A core that does not answer is asked again for as long as it takes; with --once,
    as --wait says.
    """
    names = _with_core(settings, source_names)
    sources = load_sources(settings, names).values()
    with closing(Store(Path(settings.state_dir) / "harvest")) as store:
        entries = {(entry.source, entry.file): entry for entry in store.load()}
        cores = [Core(source, entries.pop((source.name, place_of(source).file), None)) for source in sources]
        if since is not None:
            for core in cores:
                core.go_back(version_of(int(since.replace(tzinfo=UTC).timestamp() * 1000)))
        kafka_access.require(kafka.connect(settings.kafka, wait_s), settings.kafka, "ship", names)
        publisher = Publisher(settings.kafka, lambda: harvester.stopping)
        harvester = Harvester(cores, publisher, store, list(entries.values()), once=once, wait_s=wait_s)
        answers = Answers(lambda: figures.samples(harvester), lambda: figures.health(harvester))
        with (
            closing(publisher),
            answered("harvest.monitor", settings.harvest.monitor, answers),
            signals.handled(harvester.stop, *signals.ending()),
        ):
            harvester.run()


def _with_core(settings: Settings, source_names: tuple[str, ...]) -> list[str]:
    """The chosen sources that name a core. Raises ConfigError where there is none."""
    chosen = options.chosen(settings, source_names)
    names = [name for name in chosen if settings.sources[name].solr_url or name in source_names]
    if not names:
        raise ConfigError("no source names a Solr core: set sources.dataone.solr_url, such as http://127.0.0.1:8983/solr/event_core")
    return names
