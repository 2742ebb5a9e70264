"""What proves to a registry who asks."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Credentials:
    """One of: name and password, an identity token (OAuth2 refresh token), a bearer token. Never shown: `repr` hides the secrets.

    server: the registry's address that they are for, as Docker's clients send it (`serveraddress`).
    """

    username: str = ""
    password: str = ""
    identity_token: str = ""
    registry_token: str = ""
    server: str = ""

    @property
    def empty(self) -> bool:
        """Whether they prove nothing: the registry is asked without a name."""
        return not (self.username or self.identity_token or self.registry_token)

    def __repr__(self) -> str:
        return f"Credentials({self.username!r} at {self.server!r})"


ANONYMOUS = Credentials()
