"""Images from and to registries (see `facade.TransfersFacade`)."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Mapping, Sequence
from typing import TypeVar

from pouch.engine import equipment as tools
from pouch.engine import events, image_details, progress, views
from pouch.image import Report, download, platforms, pull, push, remote
from pouch.spec import credentials, descriptor, errors, reference

_LOGGED_IN = "Login Succeeded"
_LONGEST_SHOWN = 100
_T = TypeVar("_T")


class Transfers:
    """The facade's transfers."""

    def __init__(self, equipment: tools.Equipment, jobs: progress.Jobs) -> None:
        self._equipment = equipment
        self._jobs = jobs
        self._downloads = equipment.downloads
        self._puller = pull.Puller(
            store=equipment.images,
            downloads=self._downloads,
            records=equipment.database,
            parallel=equipment.settings.max_concurrent_downloads,
        )
        self._uploads = push.Uploads(equipment.settings.max_concurrent_uploads)
        self._expiry: asyncio.TimerHandle | None = None

    # -- pull ---------------------------------------------------------------------------------------------------------

    async def pull(
        self, name: str, who: credentials.Credentials, *, platform: str = "", all_tags: bool = False
    ) -> views.ProgressStream:
        """See the facade. What fails before the registry has answered is raised by the stream before its first step."""
        ref = reference.Reference.parse(name)
        wanted = platforms.parse(platform) if platform else None
        tell = self._equipment.events.from_threads()
        later = asyncio.get_running_loop().call_soon_threadsafe

        def work(report: Report, cancel: threading.Event) -> None:
            try:
                with self._equipment.registries.repository(ref, who, cancel=cancel) as repository:
                    arguments = (repository, ref, report, cancel, wanted)
                    for one in self._puller.pull_all(*arguments) if all_tags else (self._puller.pull(*arguments),):
                        labels = image_details.labels(self._equipment.images, one.id)
                        tell("image", "pull", one.name, events.image_attributes(ref.familiar_name(), labels))
            finally:
                if self._downloads.waiting:
                    later(self._expire_later)

        return await self._jobs.while_listened(work, threads=self._equipment.pools.pulls)

    def _expire_later(self) -> None:
        """See to it that what a failed pull has got does not stay for ever."""
        if self._expiry is None:
            self._expiry = asyncio.get_running_loop().call_later(download.KEPT_SECONDS + 1, self._expire)

    def _expire(self) -> None:
        self._expiry = None
        self._equipment.pools.later(self._expired)

    def _expired(self) -> None:
        self._downloads.discard(older=download.KEPT_SECONDS)

    async def close(self) -> None:
        """Let go of what failed pulls have got."""
        if self._expiry is not None:
            self._expiry.cancel()
        await self._equipment.pools.background(self._downloads.discard)

    # -- push ---------------------------------------------------------------------------------------------------------

    async def push(self, name: str, who: credentials.Credentials, *, all_tags: bool = False) -> views.ProgressStream:
        """See the facade. What is not here to be pushed is told at once."""
        equipment = self._equipment
        chosen = await equipment.pools.db(push.chosen, equipment.images, name, every_tag=all_tags)
        ref = chosen[0][0]
        tell = equipment.events.from_threads()

        def work(report: progress.Telling, cancel: threading.Event) -> None:
            def told(tag: str, digest: str, size: int) -> None:
                report("", aux={"Tag": tag, "Digest": digest, "Size": size})
                tell("image", "push", f"{ref.familiar_name()}:{tag}", {"name": ref.familiar_name()})

            both = ("pull", "push")
            with equipment.registries.repository(ref, who, actions=both, cancel=cancel) as repository:
                push.push(
                    equipment.images,
                    equipment.database,
                    repository,
                    chosen,
                    self._uploads,
                    report=report,
                    told=told,
                    cancel=cancel,
                )

        return await self._jobs.while_listened(work, threads=equipment.pools.streams)

    # -- questions ----------------------------------------------------------------------------------------------------

    async def search(self, term: str, limit: int, who: credentials.Credentials) -> Sequence[Mapping[str, object]]:
        """See the facade."""
        return await self._asked(lambda cancel: self._equipment.registries.search(term, limit, who, cancel))

    async def distribution(self, name: str, who: credentials.Credentials) -> views.DistributionView:
        """See the facade."""
        ref = reference.Reference.parse(name)

        def ask(cancel: threading.Event) -> remote.Offer:
            with self._equipment.registries.repository(ref, who, cancel=cancel) as repository:
                return remote.offer(repository, ref.digest or ref.tag, ref.familiar())

        found = await self._asked(ask)
        return views.DistributionView(
            found.top.media_type,
            found.top.digest,
            found.top.size,
            tuple(_shown(one) for one in found.platforms),
            found.raw,
        )

    async def authenticate(self, who: credentials.Credentials) -> tuple[str, str]:
        """See the facade."""
        domain = _domain(who.server)
        token = await self._asked(lambda cancel: self._equipment.registries.check(domain, who, cancel))
        return _LOGGED_IN, token

    async def _asked(self, question: Callable[[threading.Event], _T]) -> _T:
        """A registry's answer; the question ends with who asks it."""
        cancel = threading.Event()
        try:
            return await self._equipment.pools.streams(question, cancel)
        finally:
            cancel.set()


def _domain(server: str) -> str:
    """The registry that a client means: addresses of old begin with a scheme and end with a path (`https://index.docker.io/v1/`)."""
    bare = server.strip().partition("://")[2] or server.strip()
    domain = bare.partition("/")[0] or reference.DEFAULT_DOMAIN
    if not reference.is_domain(domain):
        raise errors.InvalidInput(f"invalid registry address {server[:_LONGEST_SHOWN]!r}", hint="expected HOST[:PORT]")
    return domain


def _shown(platform: descriptor.Platform) -> Mapping[str, str]:
    members = {"architecture": platform.architecture, "os": platform.os, "variant": platform.variant}
    return {name: value for name, value in members.items() if value}
