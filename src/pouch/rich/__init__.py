"""How an image becomes a machine: which init it has, and what must lie in the container so that the app is one of its services.

Belongs here: everything that knows an init system. Does not belong here: mounts, namespaces and processes of the host (kernel, runtime)
and any decision about a container's life (engine). A plan is a value: it says what to write and mount; `write` is the only
module that touches a file. Imports spec and kernel only.
"""
