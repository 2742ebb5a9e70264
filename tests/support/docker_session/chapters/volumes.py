"""Volumes, binds and tmpfs."""

from __future__ import annotations

from support.docker_session import player

SETTINGS = "'{{.Name}} {{.Driver}} {{.Scope}} {{json .Labels}} {{json .Options}} {{.Mountpoint}}'"


def play(session: player.Session) -> None:
    """Volumes by themselves, then in containers, then other mounts."""
    run = session.run
    run("docker volume ls")
    run("docker volume create data")
    run("docker volume create data")
    run("docker volume create --label tier=back other")
    run("docker volume create --driver nosuch third")
    run("docker volume create 'in valid'")
    run("docker volume create x")
    run("docker volume create --opt type=tmpfs --opt device=tmpfs --opt o=size=1m,uid=1000 memory")
    run("docker volume create --opt nosuch=1 wrong")
    run("docker volume ls --format '{{.Name}} {{.Driver}} {{.Labels}}'")
    run("docker volume ls --quiet --filter label=tier=back")
    run("docker volume ls --quiet --filter name=dat")
    run("docker volume ls --quiet --filter dangling=true")
    run("docker volume ls --quiet --filter nosuch=1")
    run(f"docker volume inspect --format {SETTINGS} data other memory")
    run("docker volume inspect nosuch")
    run("docker volume inspect data nosuch")
    _in_containers(session)
    _mounts(session)
    run("docker volume rm data")
    run("docker rm --force keeper")
    run("docker volume rm data nosuch memory")
    run("docker volume rm --force nosuch")
    run("docker volume prune --force", mask=["sizes"], sort=True)
    run("docker volume prune --force --all --filter label=tier=front", mask=["sizes"])
    run("docker volume prune --force --all", mask=["sizes"], sort=True)
    run("docker volume ls --quiet")


def _in_containers(session: player.Session) -> None:
    run = session.run
    run("docker run --detach --name keeper --volume data:/data --volume memory:/mem:ro busybox sleep 1000")
    run("docker exec keeper sh -c 'echo kept > /data/file; touch /mem/file'")
    run('docker exec keeper sh -c \'stat -c %u /mem; df -k /mem | tail -n 1 | tr -s " " | cut -d" " -f2\'')
    run("docker run --rm --volume data:/x:ro busybox cat /x/file")
    run("docker run --rm --volume data:/x:ro busybox touch /x/other")
    run("docker run --rm --volumes-from keeper busybox cat /data/file")
    run("docker run --rm --volumes-from keeper:ro busybox touch /data/no")
    run("docker run --rm --volumes-from nosuch busybox true")
    run("docker run --rm --volume data:/bin/.. busybox true")
    run("docker run --rm --volume data:relative busybox true")
    run("docker run --rm --volume data:/x:nosuch busybox true")
    run("docker run --rm --volume in/valid:/x busybox true")
    run("docker run --rm --volume filled:/home busybox ls -ln /home", mask=["clock"])
    run("docker run --rm --volume empty:/home:nocopy busybox ls /home")
    run("docker run --name single --volume data:/data:ro busybox true")
    run("docker inspect --format '{{json .Mounts}}' single")
    run("docker rm single")
    run("docker inspect --format '{{len .HostConfig.Binds}} {{json .Config.Volumes}}' keeper")
    run("docker ps --filter volume=data --format '{{.Names}} {{.LocalVolumes}}'")
    run("docker run --name anon --volume /anon busybox touch /anon/x")
    run("docker inspect --format '{{range .Mounts}}{{.Type}} {{.Name}} {{.Destination}} {{.RW}}{{end}}' anon")
    run("docker rm --volumes anon")
    run("docker run --rm --volume /anon busybox true")
    run("docker volume ls --quiet")
    run("docker volume rm nosuch data")


def _mounts(session: player.Session) -> None:
    run = session.run
    session.file("shared/file", "of the host\n")
    run('docker run --rm --volume "$PWD/shared:/x" busybox cat /x/file')
    run('docker run --rm --volume "$PWD/shared:/x:ro" busybox sh -c "echo no > /x/file"')
    run('docker run --rm --volume "$PWD/made:/x" busybox sh -c "echo yes > /x/file" && cat made/file')
    run('docker run --rm --mount "type=bind,source=$PWD/nosuch,target=/x" busybox true')
    run('docker run --rm --mount "type=bind,source=$PWD/shared,target=/x,readonly" busybox touch /x/y')
    run("docker run --rm --mount type=volume,source=data,target=/x,volume-nocopy busybox cat /x/file")
    run("docker run --rm --mount type=volume,source=data,target=/x,volume-subpath=nosuch busybox true")
    run("docker run --rm --mount type=volume,target=/x busybox ls /x")
    run("docker run --rm --mount type=nosuch,target=/x busybox true")
    run("docker run --rm --mount type=tmpfs,target=/x,tmpfs-size=1m,tmpfs-mode=700 busybox stat -c '%a %F' /x")
    run(
        'docker run --rm --tmpfs /x:size=64k,mode=1777 busybox sh -c \'df -k /x | tail -n 1 | tr -s " " | cut -d" " -f2; stat -c %a /x\''
    )
    run("docker run --rm --tmpfs /x:nosuch busybox true")
    run("docker run --rm --tmpfs relative busybox true")
    run("docker run --rm --volume data:/x --volume other:/x busybox true")
    run("docker run --rm --mount source=data,target=/x --volume other:/x busybox true")
