"""What can go wrong in the command line. `main` turns each into one message and an exit code."""

from __future__ import annotations


class CliError(Exception):
    """A message for the user as it stands, and the exit code."""

    def __init__(self, message: str, code: int = 1) -> None:
        super().__init__(message)
        self.message = message
        self.code = code


class FlagError(CliError):
    """A flag that does not exist or has a wrong value; Docker's exit code for it is 125."""

    def __init__(self, message: str) -> None:
        super().__init__(message, 125)


class ArgumentError(CliError):
    """Too few or too many arguments."""


class EngineError(CliError):
    """What `run` reports as its own failure (125) while other commands answer 1."""


class ApiError(EngineError):
    """The daemon refused. `exit_code` is what the answer asks the program to end with, or None."""

    def __init__(self, status: int, message: str, exit_code: int | None = None) -> None:
        super().__init__(f"Error response from daemon: {message}")
        self.status = status
        self.exit_code = exit_code


class Unreachable(EngineError):
    """Nobody answers at the daemon's address."""
