"""The command line: every command added, and every expected failure said in one sentence."""

from __future__ import annotations

import errno
import sys
from collections.abc import Sequence
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
    worth,
)
from homeostat.commands.output import FAILED, MISUSED, Failure, fail
from homeostat.pid_file import AlreadyRunning
from homeostat.policy_file import PolicyError
from homeostat.readiness import NotReady
from streams.ports import LogUnavailable

_COMMANDS: Final = (
    *(system, demo, look, runs, worth, explain, logs, replay),
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
    except OSError as error:
        return fail(_undone(arguments, error), FAILED, as_json=as_json)
    return 0


_NEXT: Final = {
    errno.EACCES: "give this user the right to it, or name another place",
    errno.EPERM: "give this user the right to it, or name another place",
    errno.EROFS: "name a place that can be written",
    errno.ENOENT: "check the path",
    errno.EISDIR: "name a file",
    errno.ENOTDIR: "name a directory, or move the file away",
    errno.EEXIST: "move it away, or name another place",
    errno.ENOSPC: "make room there",
    errno.EDQUOT: "make room there",
    errno.EMFILE: "allow more open files (`ulimit -n`)",
}


def _undone(arguments: Sequence[str], error: OSError) -> str:
    """What the operating system would not do, with which path, and what to do."""
    paths = " and ".join(str(path) for path in (error.filename, error.filename2) if path is not None)
    what = f"`homeostat {arguments[0] if arguments else ''}` could not go on"
    why = error.strerror or str(error) or type(error).__name__
    step = _NEXT.get(error.errno or 0, "see `homeostat status` and `homeostat logs supervisor`")
    return f"{what}: {why}{f': {paths}' if paths else ''}; {step}."


if __name__ == "__main__":
    main()
