"""One container as processes: OCI runtime, monitor, exit codes, log, attach, exec.

Rule of the room: it is told paths and ids and knows nothing of images, networks or the database. asyncio is welcome here,
but whoever waits for a process does so by pidfd in the loop, never by a thread; processes begin in `child.py` only.
"""
