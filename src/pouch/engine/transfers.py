"""Images from and to registries (see `facade.TransfersFacade`)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from pouch.engine import equipment as tools
from pouch.engine import progress, views
from pouch.spec import credentials, errors


class Transfers:
    """The facade's transfers."""

    def __init__(self, equipment: tools.Equipment, jobs: progress.Jobs) -> None:
        self._equipment = equipment
        self._jobs = jobs

    async def pull(
        self, name: str, who: credentials.Credentials, *, platform: str = "", all_tags: bool = False
    ) -> views.ProgressStream:
        """See the facade."""
        raise errors.Unsupported(
            f"{name}: this version does not pull from registries",
            hint="load an archive (`docker save X | pouch load`) or make one (`pouch image bootstrap debian:bookworm`)",
        )

    async def push(self, name: str, who: credentials.Credentials, *, all_tags: bool = False) -> views.ProgressStream:
        """See the facade."""
        raise errors.Unsupported(f"{name}: this version does not push to registries")

    async def search(self, term: str, limit: int, who: credentials.Credentials) -> Sequence[Mapping[str, object]]:
        """See the facade."""
        raise errors.Unsupported(f"{term}: this version does not search registries")

    async def distribution(self, name: str, who: credentials.Credentials) -> views.DistributionView:
        """See the facade."""
        raise errors.Unsupported(f"{name}: this version does not ask registries")

    async def authenticate(self, who: credentials.Credentials) -> tuple[str, str]:
        """See the facade."""
        raise errors.Unsupported(f"{who.server}: this version does not ask registries")
