"""Restart policies, health, events, removal of many: what happens to containers in time."""

from __future__ import annotations

from support.docker_session import player

EVENT = "'{{.Type}} {{.Action}} {{.Actor.Attributes.name}}'"


def play(session: player.Session) -> None:
    """Restarts, health, events, prune."""
    _restarts(session)
    _health(session)
    _events(session)
    _prune(session)


def _restarts(session: player.Session) -> None:
    run = session.run
    run("docker run --detach --name thrice --restart on-failure:3 busybox sh -c 'echo tried; exit 9'")
    session.until("docker inspect --format '{{.State.Status}} {{.RestartCount}}' thrice", "exited 3")
    run("docker logs thrice")
    run("docker ps --all --filter name=thrice --format '{{.Names}} {{.Status}}'")
    run("docker inspect --format '{{.State.ExitCode}} {{.State.Restarting}} {{json .HostConfig.RestartPolicy}}' thrice")
    run("docker run --detach --name again --restart always busybox sh -c 'sleep 0.2; exit 5'")
    session.until("docker inspect --format '{{if gt .RestartCount 1}}yes{{end}}' again", "yes")
    run("docker stop again")
    run("docker inspect --format '{{.State.Status}} {{.State.Restarting}}' again")
    run("docker update --restart no again")
    run("docker run --rm --restart always busybox true")
    run("docker run --restart nosuch busybox true")
    run("docker run --restart always:3 busybox true")
    run("docker run --restart on-failure:-1 busybox true")
    run("docker run --restart on-failure:x busybox true")
    run("docker run --detach --name kept --restart unless-stopped busybox sleep 1000")
    run("docker restart --time 0 kept")
    run("docker inspect --format '{{.RestartCount}} {{.State.Status}}' kept")
    run("docker kill kept")
    session.until("docker inspect --format '{{.State.Status}}' kept", "exited")
    run("docker rm thrice again kept")


def _health(session: player.Session) -> None:
    run = session.run
    run(
        "docker run --detach --name well --health-cmd 'echo checked; test -e /ok' --health-interval 300ms --health-timeout 5s "
        "--health-retries 2 --health-start-period 0s busybox sh -c 'touch /ok; exec sleep 1000'"
    )
    session.until("docker inspect --format '{{.State.Health.Status}}' well", "healthy")
    run("docker ps --filter name=well --format '{{.Names}} {{.Status}}'")
    run("docker ps --filter health=healthy --format '{{.Names}}'")
    run("docker inspect --format '{{json .Config.Healthcheck}}' well")
    run(
        "docker inspect --format '{{with index .State.Health.Log 0}}{{.ExitCode}} {{json .Output}}{{end}} {{.State.Health.FailingStreak}}' well"
    )
    session.prepare("docker exec well rm /ok")
    session.until("docker inspect --format '{{.State.Health.Status}}' well", "unhealthy")
    run("docker ps --filter health=unhealthy --format '{{.Names}} {{.Status}}'")
    run("docker stop --time 0 well")
    run("docker inspect --format '{{.State.Health.Status}}' well")
    run("docker run --detach --name unasked --no-healthcheck busybox sleep 1000")
    run("docker inspect --format '{{json .Config.Healthcheck}} {{json .State.Health}}' unasked")
    run("docker run --rm --no-healthcheck --health-cmd true busybox true")
    run("docker run --rm --health-cmd true --health-interval 1us busybox true")
    run("docker run --rm --health-cmd true --health-retries -1 busybox true")
    run("docker run --detach --name starting --health-cmd 'exit 1' --health-interval 1h busybox sleep 1000")
    run("docker ps --filter name=starting --format '{{.Status}}'")
    run("docker ps --filter health=starting --format '{{.Names}}'")
    run("docker rm --force well unasked starting")


def _events(session: player.Session) -> None:
    run = session.run
    since = "--since $(cat began) --until $(date +%s.%N)"
    session.prepare("sleep 1.1; date +%s.%N > began")
    run("docker run --name lived --label tier=back busybox sh -c 'exit 3'")
    session.until("docker inspect --format '{{.State.Status}}' lived", "exited")
    run("docker start lived")
    session.until("docker inspect --format '{{.State.Status}}' lived", "exited")
    session.prepare("docker wait lived")  # its end is told by then, too
    run("docker rename lived living")
    run("docker rm living")
    run(f"docker events {since} --filter type=container")
    run(f"docker events {since} --filter type=network --format {EVENT}")
    session.prepare("sleep 1.1; date +%s.%N > began")
    run("docker run --detach --name victim busybox sh -c 'trap \"exit 0\" TERM; while :; do sleep 0.1; done'")
    run("docker exec victim true")
    run("docker pause victim")
    run("docker unpause victim")
    run("docker kill --signal USR2 victim")
    run("docker start victim")
    run("docker stop victim")
    run("docker restart victim")
    run("docker kill victim")
    run("docker cp victim:/etc/passwd - > /dev/null")
    run("docker commit victim events:1")
    run("docker export victim > /dev/null")
    run("docker rm --force victim")
    run(f"docker events {since} --filter container=victim --format {EVENT}", sort=True)
    run(f"docker events {since} --filter event=die --format '{{{{json .Actor.Attributes}}}}'")
    run(
        f"docker events {since} --filter event=kill --filter event=stop --format '{{{{.Action}}}} {{{{.Actor.Attributes.signal}}}}'"
    )
    session.prepare("sleep 1.1; date +%s.%N > began")
    run("docker tag events:1 events:2")
    run("docker rmi events:1 events:2")
    run("docker volume create data")
    run("docker run --rm --volume data:/data busybox true")
    run("docker volume rm data")
    run("docker network create net")
    run("docker create --name joined busybox")
    run("docker network connect net joined")
    run("docker network disconnect net joined")
    run("docker network rm net")
    run("docker rm joined")
    run(f"docker events {since} --filter type=image")
    run(f"docker events {since} --filter type=volume")
    run(f"docker events {since} --filter type=network --filter network=net --format {EVENT}")
    run(f"docker events {since} --filter nosuch=1 --filter type=daemon")
    run(f"docker events {since} --filter type=nosuch")
    run("docker events --since nosuch")
    run("docker events --until 1")
    with session.meanwhile(f"docker events --filter container=watched --format {EVENT}", stop=True) as watching:
        session.prepare("sleep 0.5")  # the stream has begun; without it less would be shown
        session.prepare("docker run --name watched busybox true && docker rm watched")
        session.prepare("sleep 0.5")
    assert watching.returncode is not None


def _prune(session: player.Session) -> None:
    run = session.run
    run("docker create --name one --label keep=1 busybox")
    run("docker create --name two busybox")
    run("docker run --detach --name three busybox sleep 1000")
    run("docker container prune --force --filter label=none", mask=["sizes"])
    run("docker container prune --force --filter label!=keep", mask=["sizes"])
    run("docker container prune --force --filter until=1h", mask=["sizes"])
    run("docker container prune --force --filter nosuch=1")
    run("docker ps --all --format '{{.Names}}'")
    run("docker network create unused")
    run("docker volume create unused")
    run("docker system prune --force", mask=["sizes"], sort=True)
    run("docker system prune --force --volumes", mask=["sizes"], sort=True)
    run("docker ps --all --format '{{.Names}}'")
    run("docker stop --time 0 three; docker rm three")
