"""What is seen of containers: inspect, ps and its filters, top, stats, diff, update, wait."""

from __future__ import annotations

from support.docker_session import player


def play(session: player.Session) -> None:
    """One container with all kinds of settings, then several."""
    _settings(session)
    _filters(session)
    _processes(session)
    _updates(session)
    session.run("docker rm --force full blue green gone")


def _settings(session: player.Session) -> None:
    run = session.run
    run(
        "docker run --detach --name full --memory 64m --memory-reservation 32m --cpus 0.5 --cpu-shares 512 --pids-limit 100 "
        "--ulimit nofile=2048:2048 --cap-add NET_ADMIN --cap-drop MKNOD --security-opt no-new-privileges --read-only "
        "--tmpfs /tmp --workdir /tmp --user 1000:4 --env A=1 --label tier=back --hostname box --domainname example.org "
        "--restart on-failure:3 --stop-signal INT --stop-timeout 3 --shm-size 8m --sysctl net.ipv4.ip_forward=0 "
        "--device /dev/null:/dev/nix:r --group-add 1 --oom-score-adj 100 --init --entrypoint sleep busybox 1000"
    )
    for members in (
        ".Id .Name .Path .Args .Image .RestartCount .Driver .Platform .MountLabel .ProcessLabel .AppArmorProfile",
        ".State.Status .State.Running .State.Paused .State.Restarting .State.OOMKilled .State.Dead .State.ExitCode .State.Error",
        ".Config.Hostname .Config.Domainname .Config.User .Config.Env .Config.Cmd .Config.Entrypoint .Config.WorkingDir",
        ".Config.Labels .Config.StopSignal .Config.StopTimeout .Config.Image .Config.Tty .Config.Volumes .Config.ExposedPorts",
        ".HostConfig.Memory .HostConfig.MemoryReservation .HostConfig.MemorySwap .HostConfig.NanoCpus .HostConfig.CpuShares",
        ".HostConfig.PidsLimit .HostConfig.Ulimits .HostConfig.CapAdd .HostConfig.CapDrop .HostConfig.SecurityOpt",
        ".HostConfig.ReadonlyRootfs .HostConfig.Tmpfs .HostConfig.RestartPolicy .HostConfig.ShmSize .HostConfig.Sysctls",
        ".HostConfig.Devices .HostConfig.GroupAdd .HostConfig.OomScoreAdj .HostConfig.Init .HostConfig.AutoRemove",
        ".HostConfig.NetworkMode .HostConfig.IpcMode .HostConfig.PidMode .HostConfig.UTSMode",
        ".HostConfig.LogConfig .HostConfig.Runtime .HostConfig.Privileged .HostConfig.Binds .HostConfig.Links .HostConfig.Dns",
        ".HostConfig.ReadonlyPaths .HostConfig.ConsoleSize",
        ".NetworkSettings.Bridge .NetworkSettings.Ports .GraphDriver.Name",
    ):
        run("docker inspect --format '" + " ".join(f"{{{{json {member}}}}}" for member in members.split()) + "' full")
    run('docker exec full sh -c \'id; hostname; grep -E "^(CapBnd|NoNewPrivs)" /proc/self/status | tr -s "\\t" " "\'')
    run("docker exec full sh -c 'ulimit -n; ulimit -Hn; cat /proc/sys/net/ipv4/ip_forward'")
    run("docker exec full df -k /dev/shm | tail -n 1 | tr -s ' ' | cut -d' ' -f2")
    run("docker exec full sh -c 'touch /x; ls -l /dev/nix | cut -c 1-10; cat /proc/1/comm; cat /proc/1/oom_score_adj'")
    run("docker inspect --format '{{.NoSuch}}' full")
    run("docker inspect --format '{{.Config.NoSuch}}' full")
    run("docker inspect --format '{{json .State' full")
    run("docker inspect --type volume full")
    run("docker inspect --type nosuch full")
    run("docker inspect --size --format '{{.SizeRw}}' full")
    run("docker container inspect nosuch")
    run("docker inspect full | head -n 4")
    run("docker inspect full nosuch | tail -n 3")


def _filters(session: player.Session) -> None:
    run = session.run
    run("docker run --detach --name blue --label colour=blue --label number=1 busybox sleep 1000")
    run("docker create --name green --label colour=green busybox sh -c 'exit 3'")
    run("docker run --name gone --label colour busybox sh -c 'exit 4'")
    session.until("docker inspect --format '{{.State.Status}}' gone", "exited")
    names = "--format '{{.Names}}'"
    for flags in (
        "",
        "--all",
        "--latest",
        "--last 2",
        "--all --filter label=colour",
        "--all --filter label=colour=blue",
        "--all --filter label=colour --filter label=number=1",
        "--all --filter name=^/?g",
        "--all --filter name=e",
        "--all --filter status=created",
        "--filter status=exited",
        "--filter status=running --filter status=exited",
        "--all --filter status=nosuch",
        "--all --filter exited=4",
        "--all --filter exited=nosuch",
        "--all --filter before=green",
        "--all --filter since=green",
        "--all --filter since=nosuch",
        "--all --filter ancestor=busybox",
        "--all --filter ancestor=nosuch",
        "--all --filter volume=/tmp",
        "--all --filter network=bridge",
        "--all --filter network=nosuch",
        "--all --filter health=none",
        "--all --filter health=nosuch",
        "--all --filter is-task=true",
        "--all --filter publish=80",
        "--all --filter nosuch=1",
        "--all --filter nosuch",
    ):
        run(f"docker ps {names} {flags}")
    run("docker ps --all --filter id=$(docker ps --quiet --filter name=blue) --format '{{.Names}}'")
    run("docker ps --all --format '{{.Names}} {{.Label \"colour\"}} {{.Networks}} {{.Mounts}}|{{.LocalVolumes}}'")
    run("docker ps --all --format json | head -n 1 | tr , '\\n' | cut -d: -f1")
    run("docker ps --all --format 'table {{.Names}}\\t{{.Label \"colour\"}}\\t{{.RunningFor}}'")
    run("docker ps --all --size --format '{{.Names}} {{.Size}}'", mask=["sizes"])
    run("docker ps --format '{{.NoSuch}}'")
    run("docker ps --format '{{'")
    run("docker ps --last 1 --quiet --all")
    run("docker ps nosuch")
    run("docker ps --nosuch")


def _processes(session: player.Session) -> None:
    run = session.run
    run("docker top blue -o pid,comm,args", mask=["numbers"])
    run("docker top blue", mask=["numbers", "clock"])
    run("docker top blue -eo user,comm")
    run("docker top blue -o comm")
    run("docker top blue --nosuch")
    run("docker top gone")
    run("docker top nosuch")
    run("docker stats --no-stream --format '{{.Name}} {{.PIDs}}' blue")
    run("docker stats --no-stream --format '{{.Name}} {{.CPUPerc}} {{.MemUsage}}' full", mask=["percents", "sizes"])
    run("docker stats --no-stream --format '{{.Name}} {{.Container}} {{.MemUsage}} {{.PIDs}}' gone")
    run("docker stats --no-stream nosuch")
    run("docker stats --no-stream blue full", mask=["percents", "sizes"])
    run("docker stats --no-stream --all --format '{{.Name}}'", sort=True)
    run("docker diff blue")
    run("docker wait gone green nosuch")
    with session.meanwhile("docker wait green"):
        session.prepare("sleep 0.3")  # only so that wait asks first; either order has the same answer
        session.prepare("docker start green")
    run("docker wait green gone")


def _updates(session: player.Session) -> None:
    run = session.run
    run("docker update --memory 128m --memory-swap 256m --cpus 1 --pids-limit 50 full")
    run(
        "docker inspect --format '{{.HostConfig.Memory}} {{.HostConfig.MemorySwap}} {{.HostConfig.NanoCpus}} {{.HostConfig.PidsLimit}}' full"
    )
    run("docker update --restart always blue full")
    run("docker inspect --format '{{json .HostConfig.RestartPolicy}}' blue full")
    run("docker update --restart nosuch blue")
    run("docker update --restart no:3 blue")
    run("docker update --memory 1k blue")
    run("docker update --memory nosuch blue")
    run("docker update --memory 64m --memory-swap 32m blue")
    run("docker update --cpu-shares 100 --cpuset-cpus 0 blue gone")
    run("docker update --cpuset-cpus 9999 blue", mask=["cpus"])
    run("docker update blue")
    run("docker update --cpus 1 nosuch")
    run("docker inspect --format '{{.HostConfig.CpuShares}} {{.HostConfig.CpusetCpus}}' blue gone")
