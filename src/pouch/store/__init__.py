"""What survives a reboot: paths, records, blobs. Blocking; knows of no policy. Imports kernel and spec only."""
