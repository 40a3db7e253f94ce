"""`tailrace access`: the rights that each role needs, for administrators who give no more."""

import json
from typing import get_args

import click

from tailrace import kafka_access, search_access
from tailrace.options import chosen, pass_settings, sources
from tailrace.settings import Settings
from tailrace.sources import load_sources


@click.group(context_settings={"help_option_names": ["-h", "--help"]})
def access() -> None:
    """Print the rights that each role needs of Kafka and Elasticsearch, with this configuration's names.

    Nothing is asked and nothing is changed: an administrator of the servers runs what is printed.
    """


@access.command(short_help="Print calls of kafka-acls.sh, for each role.")
@click.option("--user-prefix", default="tailrace-", show_default=True, metavar="TEXT", help="Before each role's name: its user.")
@sources
@pass_settings
def kafka(settings: Settings, user_prefix: str, source_names: tuple[str, ...]) -> None:
    """Print the calls of kafka-acls.sh that grant each role what it needs.

    The users are tailrace-ship (`tailrace ship`, `harvest`), tailrace-parse and tailrace-sessionize (`tailrace stream`), tailrace-sink,
    tailrace-audit (`tailrace audit`), and tailrace-operator (`tailrace replay` with its workers, `dead`, `sessions`). Their rights hold
    for every generation that `tailrace replay` makes. Where one user runs several roles (`tailrace run` runs all but audit and operator,
    and watches as audit does), give it the rights of each. Without Create a role does not make its topics where they are missing.
    """
    names = chosen(settings, source_names)
    for role in get_args(kafka_access.Role):
        click.echo(f"# {role}")
        for grant in kafka_access.grants(settings.kafka, role, names):
            click.echo(kafka_access.command(grant, f"{user_prefix}{role}", settings.kafka.bootstrap_servers))


@access.command(short_help="Print roles as requests in JSON.")
@sources
@pass_settings
def elasticsearch(settings: Settings, source_names: tuple[str, ...]) -> None:
    """Print a role for each of sink, reports (with audit), retention and operator (`tailrace replay`, `dead`, `sessions`), as requests
    for Kibana's console.

    The bodies are JSON, for `PUT /_security/role/NAME`; an API key takes one as a role descriptor.
    """
    names = chosen(settings, source_names)
    prefix = settings.elasticsearch.index_prefix
    indices = dict.fromkeys(source.index for source in load_sources(settings, names).values())
    for role in search_access.CLUSTER:
        body = search_access.role(role, search_access.patterns(prefix, indices))
        click.echo(f"PUT /_security/role/{prefix}tailrace-{role}\n{json.dumps(body, indent=2)}\n")
