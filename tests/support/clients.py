"""An engine between two tests of other people's clients: furnished with its image, and emptied of all else (docker-py)."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import Any

import docker

IMAGE = "busybox:latest"


@contextlib.contextmanager
def asking(address: str) -> Iterator[Any]:
    """A client of the newest version that both speak."""
    client = docker.APIClient(base_url=address, version="auto", timeout=100)
    try:
        yield client
    finally:
        client.close()


def furnish(address: str, archive: str) -> None:
    """Load the image. archive: path of a docker-archive with it."""
    with asking(address) as client, open(archive, "rb") as file:
        for _ in client.load_image(file):
            pass


def empty(address: str) -> None:
    """Remove all containers, volumes and networks, and all images but that."""
    with asking(address) as client:
        for one in client.containers(all=True):
            with contextlib.suppress(docker.errors.NotFound):  # it was about to go by itself
                client.remove_container(one["Id"], v=True, force=True)
        for one in client.networks(filters={"type": "custom"}):
            client.remove_network(one["Id"])
        for one in client.volumes()["Volumes"] or ():
            client.remove_volume(one["Name"], force=True)
        for one in client.images(all=True):
            for name in one["RepoTags"] or [one["Id"]]:
                if name != IMAGE:
                    with contextlib.suppress(docker.errors.ImageNotFound):  # a parent went before
                        client.remove_image(one["Id"] if name == "<none>:<none>" else name, force=True)
