"""Endpoints: how a container's network namespace reaches others, and by which names.

bridge: the device, its addresses, and the veth pair of each container; firewall: our one table of rules; foreign: rules
of others that would block ours; subnet: which addresses to use; files: what /etc/hosts, hostname and resolv.conf say.

The rule of the room: blocking functions that are called in a worker thread and act in the calling thread's network
namespace; nothing is spawned and nothing is kept in a database (addresses are reserved in the store, by the engine).
Everything is put back when it is missing: a bridge that was deleted or a rule set that was flushed costs one `connect`,
not a restart. What a container has inside its namespace dies with the namespace.
"""
