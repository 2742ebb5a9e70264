"""A store from outside, with pouch's own environment: `/opt/pouch/bin/python3 -m inside.store ROOT [check] [IMAGE]` prints `look` as JSON."""

from __future__ import annotations

import contextlib
import json
import sys
import traceback

from support import kill, treedigest

from pouch.store import db, paths


def look(root: str, image: str, *, check: bool) -> dict[str, object]:
    """wrong: if that is to be checked, the first thing that does not agree (records, blobs, layers, manifests; layers with

    what their blobs unpack to); images: id by name; layers: chain-ids by image; trees: digest of a layer's files by chain-id,
    of one image if an id is given.
    """
    wrong = _wrong(root) if check else ""
    places = paths.Paths(root, "/nowhere")
    with contextlib.closing(db.Database(places.db)) as records:
        rows = records.images()
    layers = {one for row in rows if image in ("", row.id) for one in row.layers}
    return {
        "wrong": wrong,
        "images": {name: row.id for row in rows for name in row.references},
        "layers": {row.id: row.layers for row in rows},
        "trees": {one: treedigest.of(kill.timeless(places.layer(one))) for one in sorted(layers)},
    }


def _wrong(root: str) -> str:
    with contextlib.closing(kill.Store(root)) as store:
        try:
            store.check()
        except AssertionError:
            return traceback.format_exc()[-1500:]
    return ""


if __name__ == "__main__":
    _words = set(sys.argv[2:])
    print(json.dumps(look(sys.argv[1], "".join(_words - {"check"}), check="check" in _words)))
