"""busybox: its own init, and dumb-init mode in an image with nothing but it."""

from __future__ import annotations

import pytest
from suites import inits
from support import rich

from pouch.spec import container

pytestmark = pytest.mark.skipif(bool(rich.missing()), reason=rich.missing())


class TestBusyboxInit(inits.Conformance):
    """sbin-init mode with busybox init."""

    init = "busybox"
    mode = container.RichMode.SBIN_INIT
    prompt = b"Please press Enter"

    def image(self) -> str:
        return rich.busybox_rootfs(init=True)
