"""`pouch image bootstrap`."""

from __future__ import annotations

import os

from pouch.cli import command, flags, progress


def _run(context: command.Context, parsed: flags.Parsed) -> int:
    include = [package for given in parsed.many("include") for package in given.replace(",", " ").split()]
    query = {
        "name": parsed.args[0],
        "include": ",".join(include) or None,
        "variant": parsed.text("variant") or None,
        "mirror": parsed.text("mirror") or None,
        "date": parsed.text("date") or None,
        "keyring": os.path.abspath(parsed.text("keyring")) if parsed.given("keyring") else None,
    }
    response = context.client.request("POST", "/images/bootstrap", query)
    made = progress.show(response, quiet=parsed.on("quiet"))
    if parsed.on("quiet"):
        print(made)
    return 0


COMMAND = command.Command(
    "[OPTIONS] NAME",
    "Make an image of a Debian suite or of busybox on this host",
    _run,
    options=(
        flags.text(
            "date", help="No date in it is later, for an image that can be made again (2024-05-01)", value="date"
        ),
        flags.many("include", help="Packages to install besides, separated by commas", value="packages"),
        flags.text("variant", help="Which packages to begin with (minbase, essential, ...)", value="variant"),
        flags.text("keyring", help="File with the keys that the mirror signs with, on the daemon's host", value="file"),
        flags.text("mirror", help="Package mirror to use instead of this host's", value="url"),
        flags.switch("quiet", "q", "Only say what was made"),
    ),
    at_least=1,
    at_most=1,
    notes="""Examples:
  pouch image bootstrap busybox
  pouch image bootstrap debian:bookworm --include systemd-sysv,cron,rsyslog,openssh-server,dbus""",
)
