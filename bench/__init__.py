"""pouch measured against its peers: one command, the same images, interleaved rounds. README.md says how."""
