"""The command `tailrace`: each subcommand lives in its room and is loaded only when asked for."""

import importlib
import logging
from pathlib import Path

import click

from tailrace import __version__
from tailrace.errors import TailraceError

COMMANDS: dict[str, tuple[str, str, str]] = {
    # name: (module, attribute, one line of help, kept here so that --help loads nothing)
    "run": ("tailrace.run", "run", "Ship, stream and sink on this machine under one supervisor."),
    "ship": ("producers.cli", "ship", "Tail files and publish their records to Kafka."),
    "harvest": ("producers.harvest.cli", "harvest", "Copy new events from DataONE's event core (Solr) to Kafka."),
    "files": ("producers.files_cli", "files", "List files: how far each is shipped, and which may be deleted."),
    "rewind": ("producers.files_cli", "rewind", "Send a file again from an offset on."),
    "stream": ("streams.cli", "stream", "Parse, enrich and sessionize with Faust workers."),
    "sink": ("sinks.cli", "sink", "Write events to Elasticsearch."),
    "sessions": ("sinks.sessions_cli", "sessions", "Check and repair sessions in the index."),
    "retention": ("sinks.retention_cli", "retention", "Delete the indices of months that a source need not keep."),
    "report": ("reports.cli", "report", "Answer questions from the index."),
    "audit": ("reports.audit_cli", "audit", "Prove that every record of every file arrived once."),
    "access": ("tailrace.access_cli", "access", "Print the rights that each role needs of Kafka and Elasticsearch."),
    "config": ("tailrace.config_cli", "config", "Check and show the configuration."),
    "up": ("infra.cli", "up", "Start a Kafka and an Elasticsearch for this machine."),
    "down": ("infra.cli", "down", "Stop the servers that `up` started."),
    "status": ("infra.cli", "status", "Show the servers and whether they answer."),
}

EXTRA = {"streams": "streams", "sinks": "sinks", "reports": "reports", "infra": "servers"}


class LazyGroup(click.Group):
    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, name: str) -> click.Command | None:
        if name not in COMMANDS:
            return None
        module, attribute, _ = COMMANDS[name]
        try:
            command: click.Command = getattr(importlib.import_module(module), attribute)
        except ModuleNotFoundError as error:
            room = module.partition(".")[0]
            if error.name and error.name.partition(".")[0] in {*EXTRA, "tailrace", "producers", "schemas"}:
                raise
            raise TailraceError(f"`tailrace {name}` needs the package {error.name}: install tailrace[{EXTRA.get(room, 'all')}]") from None
        return command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        with formatter.section("Commands"):
            formatter.write_dl([(name, text) for name, (_, _, text) in COMMANDS.items()])


@click.command(cls=LazyGroup, context_settings={"help_option_names": ["-h", "--help"]})
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
    """
    logging.basicConfig(level=log_level.upper(), format="%(asctime)s %(levelname)s %(name)s: %(message)s", datefmt="%H:%M:%S")
    logging.getLogger("elastic_transport").setLevel(logging.ERROR)
    ctx.obj = config_path  # read by options.pass_settings, so that `--help` works beside a broken file


if __name__ == "__main__":
    main()
