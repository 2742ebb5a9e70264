"""Images in a store with everything kept as it came, without a daemon or root: blobs, manifest, records; the layers' files are not unpacked.

image = kept.keep(store, images.Picture(...), compress=images.zipped)
"""

from __future__ import annotations

import json
import os

from pouch.spec import descriptor, digest, reference
from pouch.store import db

OCI = (descriptor.OCI_MANIFEST, descriptor.OCI_CONFIG, descriptor.OCI_LAYER_GZIP)
DOCKER = (descriptor.DOCKER_MANIFEST, descriptor.DOCKER_CONFIG, descriptor.DOCKER_LAYER_GZIP)


def keep(store, picture, *, compress=None, types=OCI, annotations=None):
    """An image from a picture. store: with paths, database, images; types: of manifest, configuration, layers; compress: tar to blob."""
    kind, config_kind, layer_kind = types
    config = picture.document()
    diff_ids = [digest.of_bytes(tar) for tar in picture.layers]
    chain = digest.chain_ids(diff_ids)
    blobs = [compress(tar) if compress else tar for tar in picture.layers]
    body = {
        "schemaVersion": 2,
        "mediaType": kind,
        "config": {"mediaType": config_kind, "digest": digest.of_bytes(config), "size": len(config)},
        "layers": [{"mediaType": layer_kind, "digest": digest.of_bytes(blob), "size": len(blob)} for blob in blobs],
        **({"annotations": annotations} if annotations else {}),
    }
    with store.images.lease([*chain, *(digest.of_bytes(blob) for blob in blobs)]):
        for position, (tar, blob) in enumerate(zip(picture.layers, blobs, strict=True)):
            store.images.content.put(blob)
            os.makedirs(store.paths.layer(chain[position]), exist_ok=True)
            below = chain[position - 1] if position else ""
            store.database.insert_layer(db.LayerRow(chain[position], diff_ids[position], below, len(tar)))
        names = [reference.Reference.parse(tag).canonical() for tag in picture.tags]
        # indented: bytes that no encoder of ours makes, so that a rewritten manifest shows
        return store.images.add(config, names, manifest_raw=json.dumps(body, indent=3).encode())
