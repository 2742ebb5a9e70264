"""`pouch update`."""

from __future__ import annotations

from pouch.cli import command, creation, creation_flags, files, flags, limits, other_pouch
from pouch.cli.client import segment
from pouch.cli.errors import CliError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any


def _run(context: command.Context, parsed: flags.Parsed) -> int:
    document = _document(parsed)
    if not document:
        raise CliError("pouch: you must provide one or more flags when using this command.")

    def update(name: str) -> str:
        answer = context.client.post(f"/containers/{segment(name.removeprefix('/'))}/update", None, document)
        for warning in answer.get("Warnings") or ():
            command.warn(f"WARNING: {warning}")
        return name

    return command.each(parsed.args, update)


def _document(parsed: flags.Parsed) -> dict[str, Any]:
    """The body of `POST /containers/{id}/update`: what was given and nothing else."""
    document = {**limits.members(parsed), **other_pouch.update(parsed)}
    if parsed.given("restart"):
        document["RestartPolicy"] = creation.restart_policy(parsed.text("restart"))
    env = files.environment(parsed.many("env-file"), parsed.many("env"), files.own_environment())
    removed = parsed.many("env-rm")
    for name in removed:
        if not name or "=" in name:
            raise CliError(f"pouch: invalid name of a variable for --env-rm: {name!r}")
    if env or removed:
        document["Env"] = [*env, *removed]
    if labels := files.labels(parsed.many("label-file"), parsed.many("label-add", "label")):
        document["Labels"] = labels
    if labels_removed := parsed.many("label-rm"):
        document["LabelsRemoved"] = labels_removed
    return document


COMMAND = command.Command(
    "[OPTIONS] CONTAINER [CONTAINER...]",
    "Update configuration of one or more containers: limits, restart policy, environment, labels",
    _run,
    groups=(
        ("Limits", limits.CHANGEABLE),
        (
            "Environment and labels",
            (
                creation_flags.ENV,
                flags.many("env-file", help="Read in a file of environment variables", value="file"),
                flags.many("env-rm", help="Take an environment variable away", value="name"),
                flags.many(
                    "label-add", help="Set meta data on the container", value="key=value", check=creation_flags.pair
                ),
                flags.many("label", "l", "", value="key=value", check=creation_flags.pair),
                flags.many("label-file", help="", value="file"),
                flags.many("label-rm", help="Take meta data away from the container", value="key"),
            ),
        ),
    ),
    options=(
        *other_pouch.UPDATE,
        flags.text(
            "restart",
            help="When to start it again (no|on-failure[:times]|always|unless-stopped)",
            value="policy",
        ),
    ),
    at_least=1,
    notes="What runs has the new limits at once. The environment is that of processes which exec begins from now on, and of new login,\n"
    "cron and ssh sessions of a rich container; the app and services get it with the next start.",
)
