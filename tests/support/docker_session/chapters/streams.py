"""What goes in and out of containers: run, exec, attach, logs, terminals."""

from __future__ import annotations

from support.docker_session import player


def play(session: player.Session) -> None:
    """Commands in containers, then logs, then terminals."""
    _inputs(session)
    _execs(session)
    _logs(session)
    _terminals(session)


def _inputs(session: player.Session) -> None:
    run = session.run
    run("printf 'a\\nb\\n' | docker run --rm --interactive busybox sort -r")
    run("printf 'a\\nb\\n' | docker run --rm busybox cat")
    run("head -c 300000 /dev/zero | docker run --rm --interactive busybox wc -c")
    run("docker run --rm busybox sh -c 'head -c 1000000 /dev/zero' | wc -c")
    run("docker run --rm --attach stderr busybox sh -c 'echo out; echo err >&2'")
    run("docker run --rm --attach stdout busybox sh -c 'echo out; echo err >&2'")
    run("docker run --rm --attach nosuch busybox true")
    run("docker run --detach --attach stdout busybox true")
    run("docker run --detach --rm --name short busybox true")
    session.until("docker ps --all --quiet --filter name=short", "")
    run("docker create --interactive --name cat busybox cat")
    run("printf 'by start\\n' | docker start --attach --interactive cat")
    run("docker start cat")
    run("printf 'by attach\\n' | docker attach cat")
    run("docker wait cat")
    run("docker attach cat")
    run("docker attach nosuch")
    run("docker logs cat")
    run("docker rm cat")


def _execs(session: player.Session) -> None:
    run = session.run
    run("docker run --detach --name box --user app --workdir /tmp --env A=1 busybox sleep 1000")
    run("docker exec box sh -c 'id; pwd; echo $A; echo $HOME'")
    run("docker exec --user 0:4 --workdir / --env A=2 --env B box sh -c 'id; pwd; echo $A$B'")
    run("docker exec --user nosuch box true")
    run("docker exec --user app:nosuch box true")
    run("docker exec --workdir /no/such box pwd")
    run("docker exec --workdir relative box pwd")
    run("docker exec box nosuch")
    run("docker exec box /etc/passwd")
    run("docker exec box sh -c 'exit 42'")
    run("docker exec box sh -c 'kill -KILL $$'")
    run("docker exec box sh -c 'echo out; echo err >&2'")
    run("printf 'in\\n' | docker exec --interactive box cat")
    run("printf 'in\\n' | docker exec box cat")
    run("docker exec --detach box sh -c 'echo done > /tmp/done'")
    session.until("docker exec box cat /tmp/done 2>/dev/null", "done")
    run("docker exec --detach box nosuch")
    run(
        "docker exec --privileged --user 0 box sh -c 'grep CapEff /proc/self/status | tr -d \"\\t\"; true' | cut -c 1-8"
    )
    run("docker exec --tty box sh -c 'test -t 1 && echo terminal'")
    run("docker exec nosuch true")
    run("docker inspect --format '{{json .ExecIDs}}' box")
    run("docker stop --time 0 box")
    run("docker exec box true")
    run("docker rm box")


def _logs(session: player.Session) -> None:
    run = session.run
    run(
        "docker run --name lines busybox sh -c 'echo oops >&2; sleep 0.2; for i in 1 2 3 4 5; do echo line $i; done; printf unended'"
    )
    run("docker logs lines")
    run("docker logs --tail 2 lines")
    run("docker logs --tail 0 lines")
    run("docker logs --tail all lines 2>&1 | wc -l")
    run("docker logs --tail nosuch lines")
    run("docker logs --timestamps --tail 1 lines")
    run("docker logs --since 1h lines | head -n 1")
    run("docker logs --until 1h lines")
    run("docker logs --since 2099-01-01T00:00:00 lines")
    run("docker logs --since nosuch lines")
    run("docker logs --follow lines | tail -n 1")
    run("docker logs nosuch")
    run("docker run --name silent --log-driver none busybox echo unheard")
    run("docker logs silent")
    run("docker run --rm --log-driver nosuch busybox true")
    run("docker run --rm --log-opt nosuch=1 busybox true")
    run("docker run --name labelled --label a=b --env C=d --log-opt labels=a --log-opt env=C busybox echo detailed")
    run("docker logs --details labelled")
    run(
        "docker run --detach --name talker busybox sh -c 'echo first; while [ ! -e /go ]; do sleep 0.1; done; echo last'"
    )
    with session.meanwhile("docker logs --follow talker"):
        session.prepare("docker exec talker touch /go || true")  # it may be gone before its exec has ended
        session.until("docker inspect --format '{{.State.Status}}' talker", "exited")
    run("docker rm lines silent labelled talker")


def _terminals(session: player.Session) -> None:
    terminal = session.terminal
    terminal("docker run --rm --tty busybox tty")
    terminal("docker run --rm --interactive --tty busybox sh -c 'read x; echo got $x'", [("", "word\n")])
    terminal("docker run --rm --interactive --tty busybox cat", [("", "one\n"), ("one\r\none\r\n", "\x04")])
    terminal("docker run --interactive --tty --name detached busybox cat", [("", "x\n"), ("x\r\nx\r\n", "\x10\x11")])
    session.run("docker inspect --format '{{.State.Status}} {{.Config.Tty}} {{.Config.OpenStdin}}' detached")
    terminal("docker attach --detach-keys ctrl-a,z detached", [("", "y\n"), ("y\r\ny\r\n", "\x01z")])
    session.run("docker logs detached")
    session.run("docker attach detached")
    terminal("docker exec --interactive --tty detached sh -c 'stty size; exit 3'")
    session.run("docker exec --interactive --tty detached true")
    session.run("docker rm --force detached")
