"""What other engines saved and pushed we load and pull, and the other way round; on both sides the files are the same to the last attribute.

A choice: ways that differ in what pouch does. All of them, with docker and containerd also where they are not installed: `scripts/interchange`.
"""

from __future__ import annotations

import os
import shutil
import tempfile

import pytest
from support import interchange, peers, registry

pytestmark = [
    registry.needed,
    pytest.mark.skipif(shutil.which("umoci") is None, reason="umoci is not installed"),
]


CASES = [
    *(
        interchange.Case(peers.Skopeo, direction, form)
        for direction, form in (
            ("loads", (peers.DOCKER_ARCHIVE,)),
            ("loads", (peers.OCI_ARCHIVE,)),
            ("pulls", ("v2s2", "gzip")),
            ("pulls", ("oci", "zstd")),
            ("saved", (peers.DOCKER_ARCHIVE, interchange.ZSTD, "")),
            ("saved", (peers.OCI_ARCHIVE, interchange.DOCKER, "zstd")),
            ("pushed", (interchange.ZSTD,)),
        )
    ),
    *(
        interchange.Case(peers.Podman, direction, form)
        for direction, form in (
            ("loads", (peers.DOCKER_ARCHIVE,)),
            ("pulls", ("oci", "gzip")),
            ("saved", (peers.DOCKER_ARCHIVE, interchange.DOCKER, "gzip")),
            ("saved", (peers.OCI_ARCHIVE, interchange.GZIP, "")),
            ("pushed", (interchange.GZIP,)),
        )
    ),
    *(
        interchange.Case(peers.Buildah, direction, form)
        for direction, form in (
            ("loads", (peers.OCI_ARCHIVE,)),
            ("saved", (peers.OCI_ARCHIVE, interchange.DOCKER, "")),
            ("pushed", (interchange.DOCKER,)),
        )
    ),
    *(
        interchange.Case(peers.Docker, direction, form)
        for direction, form in (
            ("loads", (peers.DOCKER_ARCHIVE,)),
            ("pulls", ("v2s2", "gzip")),
            ("saved", (peers.DOCKER_ARCHIVE, interchange.ZSTD, "")),
            ("pushed", (interchange.GZIP,)),
        )
    ),
    *(
        interchange.Case(peers.Containerd, direction, form)
        for direction, form in (
            ("loads", (peers.OCI_ARCHIVE,)),
            ("saved", (peers.DOCKER_ARCHIVE, interchange.ZSTD, "")),
            ("pushed", (interchange.DOCKER,)),
        )
    ),
]


@pytest.fixture(scope="module")
def world(can_run):
    """Short paths: sockets lie in it, and overlay's options name it many times."""
    home = tempfile.mkdtemp(prefix="ic-", dir="/var/tmp")
    os.chmod(home, 0o711)
    try:
        with interchange.World(home) as made:
            yield made
    finally:
        shutil.rmtree(home, ignore_errors=True)


@pytest.mark.parametrize("case", CASES, ids=lambda case: str(case).replace(",", "").replace(" ", "-"))
def test_an_image_is_the_same_on_the_other_side(world, case):
    if reason := case.peer.missing():
        pytest.skip(reason)
    assert case in interchange.cases(case.peer)
    interchange.attempt(world, case)
