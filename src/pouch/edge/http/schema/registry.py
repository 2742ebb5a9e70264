"""What proves to a registry who asks: Docker's AuthConfig, in the header `X-Registry-Auth` and as the body of `POST /auth`."""
# Attributes have the wire's names: what is decoded is read off one to one against Docker's documentation.

from __future__ import annotations

from msgspec import Struct


class AuthConfig(Struct):
    """API 1.43, "Authentication". `auth` is base64 of `username:password`, as in the clients' configuration file."""

    username: str = ""
    password: str = ""
    auth: str = ""
    serveraddress: str = ""
    identitytoken: str = ""
    registrytoken: str = ""
