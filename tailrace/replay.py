"""`tailrace replay`: the events made anew from Kafka beside the running pipeline, compared, and put in its place in one step."""

import click

from tailrace.lazy import Command, LazyGroup

COMMANDS = {
    "start": Command("tailrace.replay_start", "start", "Make a generation from raw or enriched records, and keep it up."),
    "status": Command("tailrace.replay_status", "status", "Show the generations and how far each is."),
    "compare": Command("reports.compare_cli", "compare", "Compare two generations: events per day and kind."),
    "switch": Command("sinks.replay_cli", "switch", "Let users see a generation, in one step."),
    "rollback": Command("sinks.replay_cli", "rollback", "Let users see the former generation again."),
    "abandon": Command("sinks.replay_cli", "abandon", "Delete a generation that is not wanted."),
    "drop": Command("sinks.replay_cli", "drop", "Delete the former generation."),
}


@click.group(cls=LazyGroup, lazy=COMMANDS)
def replay() -> None:
    """Make the events anew from Kafka, beside the running pipeline, and let them take its place.

    \b
    tailrace replay start v2      a new generation of topics and indices; runs on and follows live data
    tailrace replay compare v2    events per day and kind, old against new
    tailrace replay switch v2     users see v2 from one moment to the next; nothing is stopped
    tailrace replay rollback      users see the former generation again
    tailrace replay drop          the former generation is deleted, once nobody wants it back

    After a switch, services that are restarted work for the new generation; `replay start` may end then. Until they are restarted they
    keep the former generation up, so that a rollback loses nothing.
    """
