"""Every error that a person is meant to see.

    TailraceError                  exit 1
    ├── ConfigError                exit 78 (EX_CONFIG): a key, a type, a file; names the key and the fix
    ├── Unreachable                exit 69 (EX_UNAVAILABLE): a server does not answer
    ├── Refused                    exit 77 (EX_NOPERM): wrong password, missing privilege
    ├── TooManyDead                exit 65 (EX_DATAERR): most of what is read becomes dead letters; a restart would only bury more
    └── Incomplete                 exit 1: the work asked for could not be finished, and what is missing

The message says what happened, where, and what to do. Anything else that escapes is a defect and shows its traceback.
"""

import sys

import click


class TailraceError(click.ClickException):
    exit_code = 1

    def show(self, file: object = None) -> None:
        click.echo(f"{click.style('error:', fg='red', bold=True)} {self.format_message()}", file=sys.stderr)


class ConfigError(TailraceError):
    exit_code = 78


class Unreachable(TailraceError):
    exit_code = 69


class Refused(TailraceError):
    exit_code = 77


class TooManyDead(TailraceError):
    exit_code = 65


class Incomplete(TailraceError):
    exit_code = 1
