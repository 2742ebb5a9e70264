"""`pouch completion`."""

from __future__ import annotations

from pouch.cli import command, completion_scripts, flags
from pouch.cli.errors import CliError


def _run(context: command.Context, parsed: flags.Parsed) -> int:  # noqa: ARG001 - all commands have one signature
    shell = parsed.args[0]
    script = completion_scripts.SCRIPTS.get(shell)
    if script is None:
        raise CliError(
            f'pouch: no completion for the shell "{shell}": expected {", ".join(completion_scripts.SCRIPTS)}'
        )
    print(script, end="")
    return 0


COMMAND = command.Command(
    "bash|fish|zsh",
    "Print the completion script of a shell",
    _run,
    at_least=1,
    at_most=1,
    notes="""Names of containers, images, networks and volumes come from the daemon, so they are always those of now.

Examples:
  source <(pouch completion bash)
  pouch completion zsh > "${fpath[1]}/_pouch"
  pouch completion fish > ~/.config/fish/completions/pouch.fish""",
)
