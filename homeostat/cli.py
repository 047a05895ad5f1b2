"""The command line: every command added, and every expected failure said in one sentence."""

from __future__ import annotations

import sys
from typing import Final

import typer

from config.settings import ConfigurationError
from homeostat.commands import (
    dead_letters,
    demo,
    explain,
    incidents,
    logs,
    look,
    policies,
    replay,
    restore,
    roles,
    rollout,
    runs,
    switch,
    system,
    training,
)
from homeostat.commands.output import FAILED, MISUSED, Failure, fail
from homeostat.pid_file import AlreadyRunning
from homeostat.policy_file import PolicyError
from homeostat.readiness import NotReady
from streams.ports import LogUnavailable

_COMMANDS: Final = (
    *(system, demo, look, runs, explain, logs, replay),
    *(training, policies, switch, rollout, incidents, dead_letters, restore, roles),
)
"""In the order of `homeostat --help`."""


def build() -> typer.Typer:
    """The application with all its commands."""
    app = typer.Typer(
        name="homeostat",
        help=(
            "Self-healing retraining: measured staleness buys trainings, live evidence promotes or rolls back.\n\n"
            "Exit status: 0 it is done; 1 it failed, was refused or could not be confirmed; 2 it was asked for wrongly."
        ),
        no_args_is_help=True,
        add_completion=False,
        pretty_exceptions_enable=False,
    )
    for part in _COMMANDS:
        part.add(app)
    return app


def main() -> None:
    """Run the command line and end with its exit status."""
    sys.exit(run(sys.argv[1:]))


def run(arguments: list[str]) -> int:
    """Exit status of one command: 0, 1 (it failed, or did not show what it had to), 2 (it was asked for wrongly)."""
    as_json = "--json" in arguments
    try:
        build()(arguments)
    except SystemExit as ended:  # how Typer ends, after it has said what was misused
        return ended.code if isinstance(ended.code, int) else FAILED
    except KeyboardInterrupt:
        return fail("interrupted.", FAILED, as_json=as_json)
    except Failure as failure:
        return fail(str(failure), failure.status, as_json=as_json, document=failure.document)
    except (ConfigurationError, PolicyError) as error:
        return fail(str(error), MISUSED, as_json=as_json)
    except (AlreadyRunning, NotReady) as error:
        return fail(str(error), FAILED, as_json=as_json)
    except LogUnavailable as error:
        return fail(f"the log did not answer ({error}); see `homeostat status` and the broker's log.", FAILED, as_json=as_json)
    return 0


if __name__ == "__main__":
    main()
