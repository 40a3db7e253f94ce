"""`tailrace replay status`: the generations, and how far each is."""

import json
from typing import Any

import click
from elasticsearch import Elasticsearch

from tailrace import generations, kafka, options, search
from tailrace.columns import echo_columns
from tailrace.generations import Generation, Generations
from tailrace.progress import Monitor
from tailrace.settings import Settings


@click.command(short_help="Show the generations and how far each is.")
@options.form("table", "json")
@options.wait
@options.pass_settings
def status(settings: Settings, style: str, wait_s: float) -> None:
    """Show the generations: what each is made from, which one users see, and how many records each stage has to go."""
    admin = kafka.connect(settings.kafka, wait_s)
    client = search.connect(settings.elasticsearch, wait_s)
    known = generations.read(settings.kafka)
    for generation in known.by_name.values():  # a source may be younger than a generation
        kafka.ensure_topics(admin, generations.settings_of(settings, generation).kafka, settings.sources)
    told = [_told(settings, known, generation, client) for generation in known.by_name.values()]
    if style == "json":
        click.echo(json.dumps(told, indent=2))
        return
    heading = ["generation", "made from", "since", "users see it", "to go", "documents"]
    echo_columns(heading, [(row["name"], row["of"], row["since"], _seen(row), _to_go(row), f"{row['documents']:,}") for row in told])


def _told(settings: Settings, known: Generations, generation: Generation, client: Elasticsearch) -> dict[str, Any]:
    with Monitor(generations.settings_of(settings, generation), settings.sources) as monitor:
        stages = monitor.look().stages
    indices = [generations.indices_of(settings, known, source, generation.name) for source in settings.sources]
    return {
        "name": generation.name,
        "of": generation.of,
        "streams": generation.streams,
        "since": generation.since,
        "current": generation.name == known.current.name,
        "former": generation.name == known.current.former,
        "lag": {stage.name: stage.lag for stage in stages if stage.name in generation.roles},
        "documents": sum(
            client.count(index=pattern, expand_wildcards=wildcards, ignore_unavailable=True, allow_no_indices=True)["count"]
            for pattern, wildcards in indices
        ),
    }


def _seen(row: dict[str, Any]) -> str:
    return "yes" if row["current"] else "before" if row["former"] else "no"


def _to_go(row: dict[str, Any]) -> str:
    return ", ".join(f"{stage} {lag:,}" for stage, lag in row["lag"].items() if lag) or "nothing"
