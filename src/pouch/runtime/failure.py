"""What an OCI runtime said when it failed, in Docker's words and exit codes: pure.

Clients (and people's scripts) look for Docker's sentences, and for 127 (no such program), 126 (not executable), 125 (the rest).
The patterns are crun's (1.8) and runc's (1.1) own lines, as seen in experiments; an unknown line is passed on as it is.
"""

from __future__ import annotations

import json
import re

from pouch.spec import errors

_LOGRUS = re.compile(r'^time="[^"]*" level=\w+ msg=(?P<text>"(?:[^"\\]|\\.)*")$')
_CRUN_STAMP = re.compile(r"^\d{4}-\d\d-\d\dT[0-9:.]+Z: ")
_RUNC_PREFIX = re.compile(
    r"^(?:runc (?:create|run|exec) failed: |exec failed: |unable to start container process: |error during container init: )+"
)
_MISSING = (
    re.compile(r"executable file [`'](?P<name>.*)[`'] not found", re.DOTALL),
    re.compile(r'exec: "(?P<name>.*)": executable file not found', re.DOTALL),
    re.compile(r'exec: "(?P<name>.*)": stat .*: no such file or directory', re.DOTALL),
)
_REFUSED = (
    re.compile(r"^open executable: (?:Permission denied|Operation not permitted)"),
    re.compile(r'exec: "(?P<name>.*)": (?:permission denied|is a directory)', re.DOTALL),
    re.compile(r"executable [`'](?P<name>.*)[`'].*permission denied", re.DOTALL | re.IGNORECASE),
)


def sentence(text: str) -> str:
    """The runtime's last line of complaint without time stamps, levels and prefixes."""
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    if not lines:
        return ""
    line = _CRUN_STAMP.sub("", lines[-1])
    logrus = _LOGRUS.match(line)
    if logrus:
        try:
            line = str(json.loads(logrus["text"]))
        except ValueError:
            line = logrus["text"].strip('"')
    return _printable(_RUNC_PREFIX.sub("", line))


def _printable(text: str) -> str:
    """Names in it come from images: none of them may drive a terminal."""
    return "".join(char if char.isprintable() else char.encode("unicode_escape").decode("ascii") for char in text)


def start_failed(runtime: str, text: str, program: str) -> errors.StartFailed:
    """The error for a container or exec process that did not begin. `program`: its argv[0]; `text`: the runtime's stderr."""
    line = sentence(text)
    for pattern in _MISSING:
        if found := pattern.search(line):
            return errors.StartFailed(
                f'exec: "{found["name"]}": executable file not found in $PATH',
                exit_code=127,
                hint="look for it in the image, or give its absolute path",
            )
    for pattern in _REFUSED:
        if found := pattern.search(line):
            name = found.groupdict().get("name") or program
            return errors.StartFailed(
                f'exec: "{name}": permission denied',
                exit_code=126,
                hint="expected a file with the execute permission, not a directory",
            )
    return errors.StartFailed(f"OCI runtime {runtime} failed: {line or 'it said nothing'}", exit_code=125)
