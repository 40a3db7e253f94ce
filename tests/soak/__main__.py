"""`python -m tests.soak`: seeded, bounded, one after the other; the first that fails leaves its folder to be looked at."""

import os
import shutil
import tempfile
import time
from pathlib import Path

import click

from tests.soak.pipeline import Failed
from tests.soak.run import soak


@click.command()
@click.option("--minutes", type=click.FloatRange(min=0.2, max=240), default=15.0, show_default=True, help="Of traffic and trouble.")
@click.option("--times", type=click.IntRange(min=1), default=1, show_default=True, help="So many soaks, each with the next seed.")
@click.option("--seed", type=int, help="Of the first; by default drawn from the clock, and printed.")
@click.option("--crowd", type=click.IntRange(min=1), default=20, show_default=True, help="Times the people of the demo's campus.")
@click.option("--pause", nargs=2, type=float, default=(2.0, 12.0), show_default=True, help="Seconds between two strikes, from and to.")
def main(minutes: float, times: int, seed: int | None, crowd: int, pause: tuple[float, float]) -> None:
    """Kill, freeze and restart everything while a day of traffic is carried, and prove that every line arrived once.

    Servers, files and topics are its own. Exit code 0: every soak ended with a clean audit.
    """
    first = int(time.time()) % 100_000 if seed is None else seed
    for number in range(first, first + times):
        click.secho(f"soak of {minutes:g} minutes, seed {number}", bold=True)
        folder = Path(tempfile.mkdtemp(prefix="tailrace-soak-"))
        os.chmod(folder, 0o755)  # the account that servers run under has to pass
        try:
            soak(folder, number, minutes * 60, crowd, pause, click.echo)
        except Failed as failure:
            raise click.ClickException(f"seed {number}: {failure}\nEverything is left in {folder}.") from None
        shutil.rmtree(folder)


if __name__ == "__main__":
    main(prog_name="python -m tests.soak")
