"""What all tests share: coroutine tests run on a loop of their own, with a deadline, and must not leave tasks behind."""

from __future__ import annotations

import asyncio
import inspect
import signal

import hypothesis
import pytest

DEADLINE_SECONDS = 30.0

# how long an example takes is the machine's business: no test fails for it
hypothesis.settings.register_profile("house", deadline=None, suppress_health_check=[hypothesis.HealthCheck.too_slow])
hypothesis.settings.load_profile("house")


def pytest_configure() -> None:
    """A shell's background job inherits SIGINT ignored, and so would all that the tests start: signals are part of what is tested."""
    signal.signal(signal.SIGINT, signal.default_int_handler)
    for number in (signal.SIGQUIT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.SIG_DFL)


@pytest.hookimpl(tryfirst=True)
def pytest_pyfunc_call(pyfuncitem: pytest.Function) -> bool | None:
    """Run `async def test_...`; a plugin would do no more than this."""
    if not inspect.iscoroutinefunction(pyfuncitem.obj):
        return None
    arguments = {name: pyfuncitem.funcargs[name] for name in pyfuncitem._fixtureinfo.argnames}

    async def within_deadline() -> None:
        async with asyncio.timeout(DEADLINE_SECONDS):
            await pyfuncitem.obj(**arguments)

    asyncio.run(within_deadline())
    return True
