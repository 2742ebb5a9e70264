"""Images made to do harm: one clear error each, or taken without harm; nothing outside the layer, nothing left of what was refused."""

from __future__ import annotations

import os
import re

import pytest
from support import daemon as daemons
from support import hostile

ESCAPE = "/tmp/pouch-hostile-escape"


@pytest.fixture(scope="module")
def careful(can_run):
    """A daemon with small limits."""
    with daemons.running("--max-layer-size", str(hostile.LIMIT), "--max-layer-files", str(hostile.MOST_FILES)) as one:
        yield one


def kept(daemon):
    """What the store holds."""
    found = []
    for place in ("blobs/sha256", "layers", "tmp"):
        found += [f"{place}/{name}" for name in os.listdir(f"{daemon.root}/{place}")]
    return sorted(found)


@pytest.mark.parametrize("case", hostile.CASES, ids=lambda case: case.name)
def test_a_hostile_image(careful, case):
    before = kept(careful)
    data = case.archive()
    done = careful.pouch("load", input=data, binary=True, check=False)
    said = done.stderr.decode()
    assert not os.path.lexists(ESCAPE)
    if case.says:
        assert done.returncode == 1, done
        assert re.search(case.says, said), said
        assert said.count("\n") <= 3, said
        assert "\x1b" not in said
    else:
        assert done.returncode == 0, said
        assert case.harmless
        careful.pouch("rmi", hostile.TAG)
    careful.until(lambda: kept(careful) == before)


def test_a_device_of_an_image_opens_for_nobody(careful):
    careful.pouch("load", input=hostile.device_beside_busybox(), binary=True)
    done = careful.pouch(
        "run", "--rm", "--network", "none", hostile.TAG, "dd", "if=/memory", "of=/dev/null", "count=1", check=False
    )
    assert done.returncode != 0
    assert re.search("Permission denied|Operation not permitted|No such", done.stderr), done
    careful.pouch("rmi", hostile.TAG)
