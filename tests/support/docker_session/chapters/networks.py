"""Networks and published ports."""

from __future__ import annotations

from support.docker_session import player

SETTINGS = (
    "'{{.Driver}} {{.Scope}} {{.Internal}} {{.EnableIPv6}} {{json .IPAM.Config}} {{json .Labels}} {{json .Options}}'"
)


def play(session: player.Session) -> None:
    """The default network, networks of users, ports."""
    _default(session)
    _made(session)
    _connected(session)
    _ports(session)
    _removed(session)


def _default(session: player.Session) -> None:
    run = session.run
    run("docker network ls --format '{{.Name}} {{.Driver}} {{.Scope}}'", sort=True)
    run("docker network ls --filter driver=bridge --format '{{.Name}}'")
    run("docker network inspect --format '{{.Name}} {{.Driver}} {{json .IPAM.Config}}' bridge")
    run("docker network inspect --format '{{.Name}} {{json .IPAM}} {{json .Containers}}' none host")
    run('docker run --rm busybox sh -c \'ip -4 -o addr show eth0 | tr -s " " | cut -d" " -f4\'')
    run("docker run --rm busybox sh -c 'ip route | tr -s \" \"'")
    run("docker run --rm --network none busybox ls /sys/class/net")
    run("docker run --rm --network host busybox ls /proc/sys/net/ipv4/conf | grep -x -e eth0 -e lo")
    run("docker run --rm --hostname box --add-host far:192.0.2.9 busybox cat /etc/hosts")
    run(
        "docker run --rm --dns 192.0.2.53 --dns-search example.org --dns-option ndots:2 busybox grep -v '^#' /etc/resolv.conf"
    )
    run("docker run --rm --ip 172.17.0.9 busybox true")
    run("docker run --rm --network nosuch busybox true")
    run("docker run --rm --mac-address 02:42:ac:11:00:77 busybox cat /sys/class/net/eth0/address")


def _made(session: player.Session) -> None:
    run = session.run
    run("docker network create --subnet 10.9.0.0/24 --gateway 10.9.0.254 --label tier=back back")
    run(f"docker network inspect --format {SETTINGS} back")
    run("docker network create --subnet 10.9.0.0/24 back")
    run("docker network create --subnet 10.9.0.0/25 overlapping")
    run("docker network create --subnet 10.9.0.7/24 crooked")
    run("docker network create --subnet 10.10.0.0/24 --gateway 10.11.0.1 astray")
    run("docker network create --driver nosuch other")
    run("docker network create bridge")
    run("docker network create --internal --subnet 10.12.0.0/24 --ip-range 10.12.0.128/25 inner")
    run(f"docker network inspect --format {SETTINGS} inner")
    run("docker network create plain")
    run(f"docker network inspect --format {SETTINGS} plain")
    run("docker network ls --filter label=tier=back --format '{{.Name}}'")
    run("docker network ls --filter name=inn --quiet --no-trunc")
    run("docker network ls --filter type=custom --format '{{.Name}}'", sort=True)
    run("docker network ls --filter nosuch=1")
    run("docker network inspect nosuch")


def _connected(session: player.Session) -> None:
    run = session.run
    run("docker run --detach --name one --network back --ip 10.9.0.7 --network-alias uno busybox sleep 1000")
    run("docker run --detach --name two --network back busybox sleep 1000")
    run("docker run --rm --network back --ip 10.9.0.7 busybox true")
    run("docker run --rm --network back --ip 10.99.0.7 busybox true")
    run("docker inspect --format '{{json .NetworkSettings.Networks.back.IPAMConfig}} {{.HostConfig.NetworkMode}}' one")
    run(
        "docker inspect --format '{{range .NetworkSettings.Networks}}{{.IPAddress}}/{{.IPPrefixLen}} {{.Gateway}}{{end}}' two"
    )
    run(
        "docker inspect --format '{{json .NetworkSettings.Networks.back.Aliases}} {{json .NetworkSettings.Networks.back.DNSNames}}' one"
    )
    run("docker exec two ping -c 1 -q one", mask=["numbers"])
    run("docker exec two nslookup uno 127.0.0.11 | grep -A 1 Name")
    run("docker network connect --alias due plain two")
    run("docker network connect plain two")
    run("docker network connect nosuch two")
    run("docker network connect plain nosuch")
    run("docker network connect --ip 10.12.0.200 inner one")
    run("docker inspect --format '{{range $name, $_ := .NetworkSettings.Networks}}{{$name}} {{end}}' one two")
    run('docker exec one sh -c \'ip -4 -o addr | tr -s " " | cut -d" " -f2,4\'')
    run("docker network inspect --format '{{range .Containers}}{{println .Name .IPv4Address}}{{end}}' back", sort=True)
    run("docker ps --filter network=plain --format '{{.Names}}'")
    run("docker network rm back")
    run("docker network disconnect inner one")
    run("docker network disconnect inner one")
    run("docker network disconnect nosuch one")
    run("docker network disconnect host one")


def _ports(session: player.Session) -> None:
    run = session.run
    run(
        "docker run --detach --name web --publish 8080:80 --publish 127.0.0.1:8081:81/udp --expose 90 busybox sleep 1000"
    )
    run("docker ps --filter name=web --format '{{.Ports}} {{.Networks}}'")
    run("docker port web")
    run("docker port web 80")
    run("docker port web 80/tcp")
    run("docker port web 81/udp")
    run("docker port web 99")
    run("docker port nosuch")
    run("docker inspect --format '{{json .NetworkSettings.Ports}}' web")
    run("docker inspect --format '{{json .HostConfig.PortBindings}} {{json .Config.ExposedPorts}}' web")
    run("docker run --rm --publish 8080:80 busybox true")
    run("docker run --rm --publish 80000:80 busybox true")
    run("docker run --rm --publish 80:nosuch busybox true")
    run("docker run --detach --name all --publish-all --expose 7000 busybox sleep 1000")
    run("docker port all", mask=["ports"])
    run("docker ps --filter publish=8080 --format '{{.Names}}'")
    run("docker ps --filter expose=90 --format '{{.Names}}'")
    run("docker rm --force web all")


def _removed(session: player.Session) -> None:
    run = session.run
    run("docker stop --time 0 one two")
    run("docker network rm inner nosuch")
    run("docker network rm bridge")
    run("docker start one")
    run('docker exec one sh -c \'ip -4 -o addr show eth0 | tr -s " " | cut -d" " -f4\'')
    run("docker rm --force one two")
    run("docker network prune --force --filter label=tier=front")
    run("docker network prune --force", sort=True)
    run("docker network ls --format '{{.Name}}'", sort=True)
