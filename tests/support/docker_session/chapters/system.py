"""The engine itself, and what it refuses: versions, information, disk use, absent parts, wrong values."""

from __future__ import annotations

from support.docker_session import player


def play(session: player.Session) -> None:
    """Information, absent parts, wrong values of run."""
    _information(session)
    _absent(session)
    _refused(session)


def _information(session: player.Session) -> None:
    run = session.run
    run("docker version --format '{{.Server.Os}} {{.Server.Arch}} {{.Server.MinAPIVersion}} {{.Client.APIVersion}}'")
    run(
        "docker info --format '{{.Containers}} {{.ContainersRunning}} {{.ContainersPaused}} {{.ContainersStopped}} {{.Images}}'"
    )
    run("docker info --format '{{.OSType}} {{.Architecture}} {{.IndexServerAddress}} {{.Swarm.LocalNodeState}}'")
    run(
        "docker info --format '{{.MemoryLimit}} {{.SwapLimit}} {{.CPUShares}} {{.CPUSet}} {{.PidsLimit}} {{.IPv4Forwarding}}'"
    )
    run("docker info --format '{{.LoggingDriver}} {{.Driver}} {{.LiveRestoreEnabled}} {{.ExperimentalBuild}}'")
    run("docker info --format '{{json .Plugins.Volume}} {{json .RegistryConfig.InsecureRegistryCIDRs}}'")
    run("docker info --format '{{json .NoSuch}}'")
    run("docker info --format '{{.Name}} {{.KernelVersion}} {{.OperatingSystem}}' | wc -l")
    run("docker system df", mask=["sizes", "percents"])
    run("docker run --detach --name one --volume data:/data busybox sleep 1000")
    run("docker system df --format '{{.Type}} {{.TotalCount}} {{.Active}}'")
    run(
        "docker system df --verbose --format '{{range .Volumes}}{{.Name}} {{.Links}}{{end}} {{range .Containers}}{{.Names}} {{.State}}{{end}}'"
    )
    run("docker rm --force one")
    run("docker login --username u --password p localhost:1")
    run("docker logout localhost:1")
    run("docker search --limit 200 x")
    run("docker nosuch")
    run("docker run")
    run("docker stop")
    run("docker container ls --format '{{.Names}}'")
    run("docker container run --rm busybox echo by the long form")
    run("docker image ls --format '{{.Repository}}'")
    run("docker --host unix:///no/such.sock ps")
    run("DOCKER_API_VERSION=1.24 docker ps --format '{{.Names}}'")
    run("DOCKER_API_VERSION=1.30 docker run --rm busybox echo old")
    run("DOCKER_API_VERSION=9.99 docker ps")
    run("DOCKER_API_VERSION=1.1 docker ps")


def _absent(session: player.Session) -> None:
    run = session.run
    run("docker node ls")
    run("docker service ls")
    run("docker stack ls")
    run("docker secret ls")
    run("docker config ls")
    run("docker swarm leave")
    run("docker plugin ls")
    run("docker plugin inspect nosuch")
    run("docker checkpoint ls nosuch")
    run("docker manifest inspect localhost:1/nothing:1")


def _refused(session: player.Session) -> None:
    run = session.run
    for flags in (
        "--memory 1k",
        "--memory nosuch",
        "--memory 32m --memory-swap 16m",
        "--memory-swap 64m",
        "--memory-reservation 64m --memory 32m",
        "--memory-swappiness 200",
        "--cpus 1000",
        "--cpus nosuch",
        "--cpuset-cpus 4096",
        "--cpuset-cpus nosuch",
        "--cpu-shares -1",
        "--cpu-period 10",
        "--cpu-quota 10",
        "--pids-limit nosuch",
        "--shm-size nosuch",
        "--ulimit nosuch=1",
        "--ulimit nofile=10:5",
        "--cap-add NOSUCH",
        "--cap-drop NOSUCH",
        "--security-opt nosuch",
        "--security-opt seccomp=nosuch.json",
        "--device /dev/nosuch",
        "--device /dev/null:/dev/x:z",
        "--sysctl nosuch",
        "--sysctl kernel.nosuch=1",
        "--user nosuch",
        "--user 0:nosuch",
        "--workdir relative",
        "--hostname 'in valid'",
        "--name 'in valid'",
        "--name x",
        "--env =x",
        "--label =x",
        "--publish nosuch",
        "--network none --publish 80:80",
        "--network container:nosuch",
        "--network host --hostname box",
        "--pid nosuch",
        "--pid container:nosuch",
        "--ipc nosuch",
        "--ipc container:nosuch",
        "--uts nosuch",
        "--userns nosuch",
        "--cgroupns nosuch",
        "--runtime nosuch",
        "--stop-signal NOSUCH",
        "--stop-timeout nosuch",
        "--mac-address nosuch",
        "--ip nosuch",
        "--dns nosuch",
        "--add-host nosuch",
        "--link nosuch",
        "--group-add nosuch",
        "--oom-score-adj 5000",
        "--gpus all",
        "--storage-opt size=1k",
        "--pull never --platform linux/arm64",
        "--platform nosuch",
        "--isolation hyperv",
        "--tmpfs ''",
        "--volume ''",
        "--volume :/x",
        "--entrypoint /no/such",
        "--env-file nosuch",
        "--cidfile ./here/no",
        "--pull nosuch",
        "--nosuch",
    ):
        run(f"docker run --rm {flags} busybox true", mask=["cpus"])
    run("docker ps --all --quiet")
