"""`pouch context inspect`."""

from __future__ import annotations

from pouch.cli import command, context_flags, contexts, endpoint, flags, inspection

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any


def _run(context: command.Context, parsed: flags.Parsed) -> int:
    store = contexts.Store()
    names = parsed.args or [endpoint.chosen_context(context.options)]
    return inspection.show(names, lambda name: _shown(context, store, name), parsed.text("format"))


def _shown(context: command.Context, store: contexts.Store, name: str) -> dict[str, Any]:
    """The document with where it lies; of the certificates only which there are."""
    found = context_flags.find(context, store, name)
    kept = name != endpoint.DEFAULT_CONTEXT
    return {
        "Name": found.name,
        "Metadata": found.document.get("Metadata") or {},
        "Endpoints": found.document.get("Endpoints") or {},
        "TLSMaterial": {contexts.KIND: sorted(found.files)} if found.files else {},
        "Storage": {
            "MetadataPath": store.meta_path(name) if kept else "<IN MEMORY>",
            "TLSPath": store.tls_path(name) if kept else "<IN MEMORY>",
        },
    }


COMMAND = command.Command(
    "[OPTIONS] [CONTEXT] [CONTEXT...]",
    "Display detailed information on one or more contexts",
    _run,
    options=(inspection.FORMAT,),
)
