"""Images: their names, what is in them, archives of them, and making them of containers."""

from __future__ import annotations

from support.docker_session import player

TABLE = "'{{.Repository}}:{{.Tag}} {{.ID}} {{.Digest}}'"


def play(session: player.Session) -> None:
    """Names, then archives, then commits, then removal."""
    _names(session)
    _archives(session)
    _commits(session)
    _removal(session)


def _names(session: player.Session) -> None:
    run = session.run
    run("docker images", mask=["sizes"])
    run("docker images --no-trunc --quiet")
    run("docker images --digests", mask=["sizes"])
    run(f"docker images --format {TABLE} busybox")
    run("docker images nosuch")
    run("docker tag busybox app:1")
    run("docker tag busybox app:2")
    run("docker tag busybox localhost:5000/team/app:1")
    run("docker tag nosuch app:3")
    run("docker tag busybox 'App:1'")
    run("docker tag busybox app:not/a/tag")
    run(f"docker images --format {TABLE}", sort=True)
    run("docker images app --format '{{.Tag}}'", sort=True)
    run("docker images app:1 --format '{{.Repository}}'")
    run("docker images --filter reference='a*' --format '{{.Tag}}'", sort=True)
    run("docker images --filter dangling=true")
    run("docker images --filter nosuch=1")
    run("docker images --filter dangling=perhaps")
    run("docker images --filter label=none --quiet")
    run("docker image inspect --format '{{json .RepoTags}}' app:1")
    run(
        "docker image inspect --format '{{.Os}} {{.Architecture}} {{json .Config.Cmd}} {{json .Config.Env}} {{.Created}}' app:1"
    )
    run("docker image inspect --format '{{.Id}} {{json .RootFS}}' app:1")
    run("docker image inspect nosuch")
    run("docker inspect nosuch")
    run("docker inspect --type image --format '{{.Id}}' busybox")
    run("docker history busybox", mask=["sizes"])
    run("docker history --quiet --no-trunc busybox")
    run("docker history nosuch")


def _archives(session: player.Session) -> None:
    run = session.run
    run("docker save --output two.tar app:1 app:2")
    run("tar -tf two.tar | grep -E '^(manifest.json|repositories|index.json|oci-layout)$' | sort")
    run("tar -xOf two.tar manifest.json | grep -o '\"RepoTags\":[^]]*]'")
    run("docker save nosuch")
    run("docker save --output /no/such/directory/x.tar app:1")
    run("docker rmi app:1 app:2")
    run("docker load --input two.tar")
    run("docker load --quiet --input two.tar")
    run("docker load < two.tar")
    run("docker load --input nosuch.tar")
    session.file("rubbish.tar", "this is no archive\n")
    run("docker load --input rubbish.tar")
    run("docker images app --format '{{.Repository}}:{{.Tag}}'", sort=True)
    run("docker create --name source busybox")
    run("docker export source | tar -tf - | grep -E '^(bin/busybox|etc/passwd|dev/console|etc/hosts)$' | sort")
    run("docker export --output source.tar source")
    run("docker export nosuch")
    run("docker import --change 'CMD [\"sh\"]' --message imported source.tar flat:1")
    run("docker import - flat:2 < source.tar")
    run("docker image inspect --format '{{json .Config.Cmd}} {{.Comment}} {{len .RootFS.Layers}}' flat:1")
    run("docker run --rm flat:1 cat /etc/group")
    run("docker run --rm flat:2 ls /home")
    run("docker run --rm flat:2")
    run("docker import nosuch.tar flat:3")
    run("docker rm source")


def _commits(session: player.Session) -> None:
    run = session.run
    run(
        "docker run --name work busybox sh -c 'echo new > /new; rm /etc/group; echo more >> /etc/passwd; mkdir -p /deep/er'"
    )
    run("docker diff work", sort=True)
    run("docker diff nosuch")
    run(
        "docker commit --author 'A. Uthor <a@example.org>' --message 'made by hand' "
        "--change 'ENV B=2' --change 'LABEL kind=made' --change 'EXPOSE 80/tcp' --change 'USER app' work made:1"
    )
    run("docker image inspect --format '{{.Author}} {{.Comment}} {{len .RootFS.Layers}}' made:1")
    run("docker image inspect --format '{{json .Config.Env}} {{json .Config.Labels}} {{.Config.User}}' made:1")
    run("docker image inspect --format '{{json .Config.ExposedPorts}} {{json .Config.Cmd}}' made:1")
    run("docker run --rm made:1 sh -c 'cat /new; id -un; echo $B; ls -d /deep/er; cat /etc/group'")
    run("docker commit --change 'NOSUCH x' work")
    run("docker commit --change 'RUN true' work")
    run("docker commit nosuch made:2")
    run("docker commit work made:2")
    run("docker history --format '{{.CreatedBy}} {{.Comment}}' made:1")
    run("docker images --filter label=kind=made --format '{{.Repository}}:{{.Tag}}'")
    run("docker images --filter before=made:1 --format '{{.Repository}}:{{.Tag}}' busybox")
    run("docker images --filter since=busybox --format '{{.Repository}}:{{.Tag}}' made", sort=True)
    run("docker rm work")


def _removal(session: player.Session) -> None:
    run = session.run
    run("docker run --detach --name user made:1 sleep 1000")
    run("docker rmi made:1")
    run("docker rmi --force made:1")
    run("docker ps --format '{{.Image}} {{.Names}}'")
    run("docker rm --force user")
    run("docker image prune --force", mask=["sizes"])
    run("docker rmi nosuch")
    run("docker rmi app:1 nosuch app:2")
    run("docker rmi 'In valid'")
    run("docker rmi --force $(docker images --quiet made:2)")
    run("docker images --format '{{.Repository}}:{{.Tag}}'", sort=True)
    run("docker rmi localhost:5000/team/app:1")
    run("docker image prune --all --force --filter label=none")
    run("docker pull localhost:1/nothing:1")
    run("docker push localhost:1/nothing:1")
    run("docker run --rm --pull never nothing:1")
    run("docker run --rm localhost:1/nothing:1")
