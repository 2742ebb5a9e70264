"""pouchd, the composition root: configuration, engine, edges; start and stop of the process."""

from __future__ import annotations

import asyncio
import contextlib
import fcntl
import grp
import json
import logging
import os
import signal
import socket
import sys
import time
from collections.abc import Iterator, Sequence

from pouch import __version__, config, config_listen
from pouch.edge.http import server as http
from pouch.edge.http import system as http_system
from pouch.edge.http import tls
from pouch.engine import engine, system
from pouch.rich import tools as rich_tools
from pouch.spec import errors, reference

log = logging.getLogger("pouchd")

GRACE_SECONDS = 10.0
"""How long changes that are under way may take when the daemon stops."""
_FIRST_PASSED_FD = 3
_TCP_BACKLOG = 128


def main() -> None:
    """The program `pouchd`."""
    sys.exit(run(sys.argv[1:]))


def run(argv: Sequence[str]) -> int:
    """Run the daemon; its exit code."""
    try:
        configuration = config.load(argv)
        if configuration is None:
            return 0
        _start_logging(configuration)
        settings = configuration.settings
        reference.use(reference.Defaults(settings.default_registry, settings.default_namespace))
        if os.geteuid() != 0:
            raise errors.Forbidden("pouchd needs to be started as root", hint="sudo pouchd")
        if configuration.doctor:
            return _doctor(configuration)
        asyncio.run(_serve(configuration))
    except errors.PouchError as error:
        print(f"pouchd: {error}", file=sys.stderr)  # noqa: T201
        return 1
    except OSError as error:
        target = f"{error.filename}: " if error.filename else ""
        print(f"pouchd: {target}{error.strerror}", file=sys.stderr)  # noqa: T201
        return 1
    except KeyboardInterrupt:
        return 130
    return 0


def _doctor(configuration: config.Configuration) -> int:
    """`pouchd --doctor`, which `pouch doctor` falls back on where no daemon runs: 1 where an error is left."""
    launch = rich_tools.find().launch
    found = http_system.documents(system.examine(configuration.settings, launch, fix=configuration.fix))
    print(json.dumps(found, ensure_ascii=False))  # noqa: T201
    return 1 if any(one["Level"] == "error" for one in found) else 0


async def _serve(configuration: config.Configuration) -> None:
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    servers: list[http.Server] = []
    loop.add_signal_handler(signal.SIGHUP, _reload, servers)
    began = time.monotonic()
    settings = configuration.settings
    passed = _passed_sockets(
        configuration
    )  # refused before the state is opened: a client may wait there, and systemd try again
    with _only_one(settings.root), _pid_file(configuration.pid_path()):
        async with engine.open_engine(settings) as opened:
            with contextlib.ExitStack() as sockets:
                for bound in (sockets.enter_context(listener) for listener in _listeners(configuration, passed)):
                    terms = _terms(configuration) if bound.family != socket.AF_UNIX else None
                    servers.append(await http.serve(opened, bound, version=__version__, terms=terms))
                for warning in settings.warnings:
                    log.warning("%s", warning.removeprefix("WARNING: "))
                _notify("READY=1")
                log.info("pouchd %s is ready after %d ms", __version__, (time.monotonic() - began) * 1000)
                await stop.wait()
                _notify("STOPPING=1")
                log.info("pouchd stops")
                opened.leave()
                await asyncio.gather(*(server.close(GRACE_SECONDS) for server in servers))
                await opened.farewell()


def _reload(servers: Sequence[http.Server]) -> None:
    """SIGHUP: certificates are read anew; the rest of the configuration at start only."""
    try:
        for server in servers:
            server.reload()
    except errors.PouchError as error:
        log.error("SIGHUP: the certificates in use stay: %s", error)  # noqa: TRY400 - the administrator's mistake, not ours
        return
    log.info("SIGHUP: certificates are read anew; the configuration is read at start only")


def _terms(configuration: config.Configuration) -> tls.Terms | None:
    """How TCP is served; None without TLS."""
    files = configuration.tls
    if not files.on:
        return None
    authority = files.authority if files.verify else ""
    return tls.Terms(certificate=files.certificate, key=files.key, authority=authority, names=files.names)


# -- one daemon per root ----------------------------------------------------------------------------------------------


@contextlib.contextmanager
def _only_one(root: str) -> Iterator[None]:
    """Hold the state directory's lock. Raises Conflict where another daemon has it."""
    os.makedirs(root, mode=0o711, exist_ok=True)
    descriptor = os.open(f"{root}/pouchd.lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise errors.Conflict(
                f"another pouchd uses {root}", hint="stop it first, or give this one another --root and --run"
            ) from None
        yield
    finally:
        os.close(descriptor)


@contextlib.contextmanager
def _pid_file(path: str) -> Iterator[None]:
    os.makedirs(os.path.dirname(path), mode=0o711, exist_ok=True)
    with open(path, "w", encoding="ascii") as file:
        file.write(f"{os.getpid()}\n")
    try:
        yield
    finally:
        with contextlib.suppress(FileNotFoundError):
            os.unlink(path)


# -- sockets ----------------------------------------------------------------------------------------------------------


def _listeners(
    configuration: config.Configuration, passed: Sequence[socket.socket]
) -> Iterator[contextlib.AbstractContextManager[socket.socket]]:
    if passed:
        yield from passed
        return
    for address in configuration.addresses():
        if address.tcp:
            yield from _bound_tcp(address, tls=configuration.tls.on)
        else:
            yield _bound(address.path, configuration.group)


def _bound_tcp(address: config_listen.Address, *, tls: bool) -> Iterator[socket.socket]:
    """A socket for each address that the host's name means. Raises Unavailable."""
    port = address.port_with(tls=tls)
    try:
        found = socket.getaddrinfo(address.host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
        for family, where in dict.fromkeys((one[0], one[4]) for one in found):
            listener = socket.create_server(where, family=family, backlog=_TCP_BACKLOG)
            listener.setblocking(False)
            log.info("listening on tcp://%s:%d", address.host, listener.getsockname()[1])
            yield listener
    except OSError as error:
        raise errors.Unavailable(f"cannot listen on {address}: {error.strerror or error}") from None


def _passed_sockets(configuration: config.Configuration) -> list[socket.socket]:
    """Sockets that systemd listens on for us (sd_listen_fds(3)). Raises InvalidInput for TCP that is open to everybody."""
    if os.environ.get("LISTEN_PID") != str(os.getpid()):
        return []
    count = int(os.environ.get("LISTEN_FDS", "0"))
    passed = [socket.socket(fileno=_FIRST_PASSED_FD + number) for number in range(count)]
    for given in passed:
        if given.family == socket.AF_UNIX:
            continue
        config_listen.check_tcp("a socket passed by systemd", configuration.tls, insecure=configuration.insecure_tcp)
        if not configuration.tls.verify:
            log.warning("a socket passed by systemd is TCP without client certificates: who reaches it is root here")
    return passed


@contextlib.contextmanager
def _bound(path: str, group: str) -> Iterator[socket.socket]:
    """A socket at this path, 0660, of the group if it exists. Raises Conflict where somebody listens there."""
    os.makedirs(os.path.dirname(path), mode=0o755, exist_ok=True)
    _remove_stale(path)
    listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM | socket.SOCK_CLOEXEC)
    try:
        before = os.umask(0o117)
        try:
            listener.bind(path)
        except OSError as error:
            raise errors.Unavailable(f"cannot listen on {path}: {error.strerror or error}") from None
        finally:
            os.umask(before)
        with contextlib.suppress(KeyError):
            os.chown(path, 0, grp.getgrnam(group).gr_gid)
        ours = os.stat(path)
        listener.setblocking(False)
        yield listener
        with contextlib.suppress(FileNotFoundError):
            there = os.stat(path)
            if (there.st_dev, there.st_ino) == (ours.st_dev, ours.st_ino):
                os.unlink(path)
    finally:
        listener.close()


def _remove_stale(path: str) -> None:
    if not os.path.exists(path):
        return
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as probe:
        try:
            probe.connect(path)
        except ConnectionRefusedError:
            os.unlink(path)
            return
        except OSError as error:
            raise errors.Conflict(f"{path} is in the way and no socket of ours: {error.strerror or error}") from None
    raise errors.Conflict(f"{path}: another daemon listens there", hint="stop it, or choose another --listen")


# -- words to the outside ---------------------------------------------------------------------------------------------


def _notify(message: str) -> None:
    """Tell the service manager (sd_notify(3)); silent where there is none."""
    address = os.environ.get("NOTIFY_SOCKET", "")
    if not address:
        return
    if address.startswith("@"):
        address = "\0" + address[1:]
    with contextlib.suppress(OSError), socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as client:
        client.connect(address)
        client.send(message.encode())


_LONGEST_ENTRY = 32 << 10
"""Characters, with a traceback."""


class _JsonLines(logging.Formatter):
    """One JSON object a line: time (RFC 3339), level, logger, message, and a traceback where there is one."""

    def format(self, record: logging.LogRecord) -> str:
        document = {
            "time": time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(record.created)) + f".{int(record.msecs):03d}Z",
            "level": record.levelname.lower(),
            "logger": record.name,
            "message": record.getMessage(),
        }
        if record.exc_info:
            document["traceback"] = self.formatException(record.exc_info)
        return json.dumps(document)


class _Text(logging.Formatter):
    """`TIME LEVEL logger: message`; control characters escaped, as what containers call themselves ends up here.

    Further lines are set in: nobody's text begins a line, and so none looks like another entry.
    """

    def format(self, record: logging.LogRecord) -> str:
        text = super().format(record)
        if len(text) > _LONGEST_ENTRY:
            text = f"{text[:_LONGEST_ENTRY]}... ({len(text)} characters)"
        lines = text.rstrip("\n").split("\n")
        return "\n  ".join(
            "".join(letter if letter.isprintable() else ascii(letter)[1:-1] for letter in line) for line in lines
        )


def _start_logging(configuration: config.Configuration) -> None:
    handler = logging.StreamHandler(sys.stderr)
    if configuration.log_format == "json":
        handler.setFormatter(_JsonLines())
    else:
        handler.setFormatter(_Text("%(asctime)s %(levelname)s %(name)s: %(message)s"))
    logging.basicConfig(level=configuration.log_level.upper(), handlers=[handler], force=True)
    # at debug it writes whole URLs, and those that registries send us to are signed: who knows one may read or write there
    logging.getLogger("urllib3").setLevel(logging.WARNING)


if __name__ == "__main__":
    main()
