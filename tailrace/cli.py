"""The command `tailrace`: each subcommand lives in its room and is loaded only when asked for."""

import logging
from pathlib import Path

import click

from tailrace import __version__
from tailrace.lazy import Command, LazyGroup

COMMANDS = {
    "run": Command("tailrace.run", "run", "Ship, stream and sink on this machine under one supervisor."),
    "ship": Command("producers.cli", "ship", "Tail files and publish their records to Kafka."),
    "harvest": Command("producers.harvest.cli", "harvest", "Copy new events from DataONE's event core (Solr) to Kafka."),
    "files": Command("producers.files_cli", "files", "List files: how far each is shipped, and which may be deleted."),
    "rewind": Command("producers.files_cli", "rewind", "Send a file again from an offset on."),
    "stream": Command("streams.cli", "stream", "Parse, enrich and sessionize with Faust workers."),
    "sink": Command("sinks.cli", "sink", "Write events to Elasticsearch."),
    "sessions": Command("sinks.sessions_cli", "sessions", "Check and repair sessions in the index."),
    "dead": Command("tailrace.dead_cli", "dead", "List, show, retry and drop what could not be shipped, parsed or indexed."),
    "replay": Command("tailrace.replay", "replay", "Make the events anew beside the running pipeline, and switch."),
    "retention": Command("sinks.retention_cli", "retention", "Delete the indices of months that a source need not keep."),
    "report": Command("reports.cli", "report", "Answer questions from the index."),
    "audit": Command("reports.audit_cli", "audit", "Prove that every record of every file arrived once."),
    "access": Command("tailrace.access_cli", "access", "Print the rights that each role needs of Kafka and Elasticsearch."),
    "config": Command("tailrace.config_cli", "config", "Check and show the configuration."),
    "preview": Command("reports.preview", "preview", "Show what becomes of a source's lines, before they are shipped."),
    "up": Command("infra.cli", "up", "Start a Kafka and an Elasticsearch for this machine."),
    "down": Command("infra.cli", "down", "Stop the servers that `up` started."),
    "status": Command("infra.cli", "status", "Show the servers and whether they answer."),
}


@click.group(cls=LazyGroup, lazy=COMMANDS, context_settings={"help_option_names": ["-h", "--help"]})
@click.option(
    "--config",
    "config_path",
    type=click.Path(path_type=Path, dir_okay=False),
    envvar="TAILRACE_CONFIG",
    help="Configuration file; by default ./tailrace.toml, then /etc/tailrace/tailrace.toml, then defaults for one machine.",
)
@click.option(
    "--log-level",
    type=click.Choice(["debug", "info", "warning", "error"]),
    default="info",
    show_default=True,
    envvar="TAILRACE_LOG_LEVEL",
    help="How much to say on standard error.",
)
@click.version_option(__version__, prog_name="tailrace")
@click.pass_context
def main(ctx: click.Context, config_path: Path | None, log_level: str) -> None:
    """Log lines from the files where they are written to an index where they can be asked about, with Kafka between.

    Every key of tailrace.toml can be overridden by a variable: kafka.bootstrap_servers by TAILRACE_KAFKA_BOOTSTRAP_SERVERS.

    \b
    Exit codes: 0 done, or cleanly stopped    69 a server does not answer
                1 missing or failed           70 no progress: start it again
                2 wrong usage                 77 a server refuses
               65 too many dead letters       78 the configuration is wrong
    """
    logging.basicConfig(level=log_level.upper(), format="%(asctime)s %(levelname)s %(name)s: %(message)s", datefmt="%H:%M:%S")
    logging.getLogger("elastic_transport").setLevel(logging.ERROR)
    ctx.obj = config_path  # read by options.pass_settings, so that `--help` works beside a broken file


if __name__ == "__main__":
    main()
