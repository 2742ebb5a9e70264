"""pouchd as a service of systemd that listens on TCP: mutual TLS, reload, refusals, and sockets that systemd holds."""

from __future__ import annotations

import os
import pathlib
import shutil
import subprocess
import tempfile

from inside import clients, host, report
from support import certificates

CONFIG = "/etc/pouch/pouchd.toml"
UNIT = "/etc/systemd/system/pouchd.socket"
PLACE = "/etc/pouch/tls"
HOST = "tcp://127.0.0.1:2376"
SECURE = 'listen = ["unix:///run/pouch/pouchd.sock", "tcp://127.0.0.1"]\ntlsverify = true\ntls-allow-name = ["alice"]\n'


def all_of() -> None:
    """Every check. The configuration is as before at the end."""
    kept = host.read(CONFIG)
    home = pathlib.Path(tempfile.mkdtemp(prefix="listening-"))
    with report.group("listening") as row:
        try:
            authority = certificates.Authority(home / "ours")
            people = {name: _folder(authority, name, home) for name in ("alice", "bob")}
            people["stranger"] = _folder(certificates.Authority(home / "theirs"), "alice", home / "stranger")
            shutil.copytree(people["stranger"], home / "mixed")
            shutil.copy(authority.certificate, home / "mixed/ca.pem")
            people["stranger"] = home / "mixed"
            _placed(authority, "server")
            _configured(kept, SECURE)
            host.out("systemctl", "restart", "pouchd")
            _served(row, people)
            _reloaded(row, authority, people["alice"])
            _refused(row, kept)
            _activated(row, kept, people["alice"])
        finally:
            host.run("systemctl", "stop", "pouchd.socket", "pouchd.service")
            for path in (UNIT, *(f"{PLACE}/{name}.pem" for name in ("ca", "cert", "key"))):
                pathlib.Path(path).unlink(missing_ok=True)
            _configured(kept, "")
            host.out("systemctl", "daemon-reload")
            host.run("systemctl", "reset-failed", "pouchd.service")
            host.out("systemctl", "start", "pouchd")
            shutil.rmtree(home)
        row.equal("and all is as before", host.run("pouch", "version")[0], 0)
        host.run("pouch", "rm", "-f", *host.pouch("ps", "-aq").split())
        row.equal("nothing is left", report.until(lambda: not host.leftovers(), seconds=20) or host.leftovers(), True)


def _folder(authority: certificates.Authority, name: str, home: pathlib.Path) -> pathlib.Path:
    """Of a client's files, as DOCKER_CERT_PATH names one."""
    pair, place = authority.client(name), home / name
    place.mkdir(parents=True)
    for path, target in ((authority.certificate, "ca"), (pair.certificate, "cert"), (pair.key, "key")):
        shutil.copy(path, place / f"{target}.pem")
    return place


def _placed(authority: certificates.Authority, name: str) -> None:
    """A new certificate of the server, where the daemon looks."""
    pair = authority.server(name)
    os.makedirs(PLACE, mode=0o700, exist_ok=True)
    for path, target in ((authority.certificate, "ca"), (pair.certificate, "cert"), (pair.key, "key")):
        shutil.copy(path, f"{PLACE}/{target}.new")
        os.rename(f"{PLACE}/{target}.new", f"{PLACE}/{target}.pem")


def _configured(kept: str, more: str) -> None:
    with open(CONFIG, "w", encoding="utf-8") as file:
        file.write(more + kept + "\n")


def _asked(program: str, folder: pathlib.Path | str, *words: str) -> tuple[int, str, str]:
    """A command over TCP."""
    prefix = "POUCH" if program == "pouch" else "DOCKER"
    environment = {f"{prefix}_HOST": HOST, f"{prefix}_TLS_VERIFY": "1", f"{prefix}_CERT_PATH": str(folder)}
    return host.run(clients.DOCKER if program == "docker" else program, *words, env=environment)


def _served(row: report.Group, people: dict[str, pathlib.Path]) -> None:
    row.equal("active", host.run("systemctl", "is-active", "pouchd")[1].strip(), "active")
    for program in ("pouch", "docker") if os.path.exists(clients.DOCKER) else ("pouch",):
        code, said, complaint = _asked(
            program, people["alice"], "run", "--rm", "busybox", "sh", "-c", "echo hello; exit 3"
        )
        row.equal(f"{program} run over TLS", (code, said, complaint), (3, "hello\n", ""))
        code, _, complaint = _asked(program, people["bob"], "ps")
        row.check(f"{program}: a name that is not listed", code != 0 and "bob" in complaint, complaint)
        code, _, complaint = _asked(program, people["stranger"], "ps")
        row.check(f"{program}: another authority's certificate", code != 0 and "bob" not in complaint, complaint)
    row.equal("the socket goes on", host.run("pouch", "ps")[0], 0)
    code, _, complaint = host.run("pouch", "-H", "tcp://127.0.0.1:2376", "ps")
    row.check("without TLS nobody answers", code != 0, complaint)


def _serial() -> str:
    """Of the certificate that the daemon shows."""
    asked = subprocess.run(
        ("openssl", "s_client", "-connect", "127.0.0.1:2376"),
        input="",
        capture_output=True,
        text=True,
        timeout=host.PATIENCE,
        check=False,
    )
    return host.run("openssl", "x509", "-noout", "-serial", input=asked.stdout)[1].strip()


def _reloaded(row: report.Group, authority: certificates.Authority, person: pathlib.Path) -> None:
    pid, before = host.unit("pouchd", "MainPID"), _serial()
    row.check("a certificate is shown", before.startswith("serial="), before)
    host.pouch("run", "-d", "--name", "box", "busybox", "sleep", "9000")
    environment = {**os.environ, "POUCH_HOST": HOST, "POUCH_TLS_VERIFY": "1", "POUCH_CERT_PATH": str(person)}
    with subprocess.Popen(
        ("pouch", "exec", "-i", "box", "cat"), stdin=subprocess.PIPE, stdout=subprocess.PIPE, env=environment
    ) as stream:
        assert stream.stdin is not None
        assert stream.stdout is not None
        stream.stdin.write(b"before\n")
        stream.stdin.flush()
        row.equal("a stream over TLS", stream.stdout.readline(), b"before\n")
        _placed(authority, "renewed")
        row.equal("systemctl reload", host.run("systemctl", "reload", "pouchd"), (0, "", ""))
        row.check(
            "the new certificate is shown", report.until(lambda: _serial() not in ("", before), seconds=30), before
        )
        row.equal("by the same process", host.unit("pouchd", "MainPID"), pid)
        stream.stdin.write(b"after\n")
        stream.stdin.close()
        row.equal("the stream goes on", (stream.stdout.read(), stream.wait(60)), (b"after\n", 0))
    renewed = _serial()
    with open(f"{PLACE}/cert.pem", "w", encoding="ascii") as file:
        file.write("no certificate\n")
    host.run("systemctl", "reload", "pouchd")
    told = report.until(lambda: "the certificates in use stay" in _journal(pid), seconds=30)
    row.check("a wrong one is told of", told, _journal(pid)[-500:])
    row.equal("and the last one stays", _serial(), renewed)
    row.equal("it serves", _asked("pouch", person, "version")[0], 0)
    _placed(authority, "again")


def _journal(pid: str) -> str:
    return host.out("journalctl", f"_PID={pid}", "--no-pager", "-o", "cat")


def _refused(row: report.Group, kept: str) -> None:
    """TCP without client certificates, unless it is meant."""
    _configured(kept, 'listen = ["tcp://127.0.0.1:2375"]\n')
    host.run("systemctl", "restart", "pouchd")
    told = host.out("journalctl", "-u", "pouchd", "-n", "20", "--no-pager", "-o", "cat")
    row.check("TCP without TLS is refused", "would be root of this host" in told and "--tlsverify" in told, told)
    row.check("the service is not up", host.run("systemctl", "is-active", "pouchd")[1].strip() != "active")
    _configured(kept, 'listen = ["unix:///run/pouch/pouchd.sock", "tcp://127.0.0.1:2375"]\ninsecure-tcp = true\n')
    host.run("systemctl", "reset-failed", "pouchd")
    host.out("systemctl", "restart", "pouchd")
    row.equal("where it is meant it serves", host.run("pouch", "-H", "tcp://127.0.0.1:2375", "version")[0], 0)
    _, _, warned = host.run("pouch", "info")
    row.check("and info warns", "whoever reaches it is root" in warned, warned)
    row.equal("a container outlives all of it", host.run("pouch", "exec", "box", "true")[0], 0)
    host.pouch("rm", "-f", "box")


def _activated(row: report.Group, kept: str, person: pathlib.Path) -> None:
    """systemd listens, and starts pouchd with the first client."""
    _configured(kept, "tlsverify = true\n")
    with open(UNIT, "w", encoding="utf-8") as file:
        file.write(f"[Socket]\nListenStream={host.RUN}/pouchd.sock\nListenStream=127.0.0.1:2376\nSocketMode=0660\n")
    host.out("systemctl", "daemon-reload")
    host.out("systemctl", "stop", "pouchd")
    host.out("systemctl", "start", "pouchd.socket")
    row.equal("nobody runs yet", host.run("systemctl", "is-active", "pouchd")[1].strip(), "inactive")
    row.equal("the first client starts it", host.run("pouch", "version")[0], 0)
    row.equal("it runs", host.run("systemctl", "is-active", "pouchd")[1].strip(), "active")
    row.equal("the other socket is TLS's", _asked("pouch", person, "version")[0], 0)
    host.out("systemctl", "stop", "pouchd")
    row.equal(
        "and so does one over TLS", _asked("pouch", person, "run", "--rm", "busybox", "echo", "woken")[1], "woken\n"
    )
    row.equal("the socket is systemd's still", host.run("systemctl", "is-active", "pouchd.socket")[1].strip(), "active")
    _configured(kept, "")
    host.out("systemctl", "stop", "pouchd")
    host.run("timeout", "60", "pouch", "version")  # systemd starts it again as long as somebody waits
    told = host.out("journalctl", "-u", "pouchd", "-n", "20", "--no-pager", "-o", "cat")
    row.check("without TLS such a socket is refused", "a socket passed by systemd" in told, told[-800:])
