"""The command line `pouch`: a small program of its own that speaks HTTP to pouchd and imports no other room.

Rule of the room: standard library only, nothing heavy at import (no argparse, http.client, dataclasses, typing), one module
per command under `commands/`, of which only the chosen one is imported. A start has to stay within tens of milliseconds.
"""
