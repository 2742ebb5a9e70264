"""Endpoints: how a container's network namespace reaches others, and by which names.

links: a container's places in networks, made and unmade; bridges, macvlan: the devices these stand on; inside: what the
container's namespace holds; addressing, subnet: which addresses may be used; cni, cni_config, cni_plugin: networks that other
people's programs make. firewall, ruleset: our one table of rules; foreign: rules of others that would block ours; ports: the
published ones, held on the host; policy: whom a container may talk with, and how fast. names: the client of the name
service; files: what /etc/hosts, hostname and resolv.conf say.

The rule of the room: blocking functions that are called in a worker thread and act in the calling thread's network
namespace; nothing is spawned but CNI plugins, the name service and iptables-legacy where a host needs it, and nothing is kept in
a database (addresses are reserved in the store, by the engine). Everything is put back when it is missing: a bridge that was
deleted or a rule set that was flushed costs one `connect`, not a restart. What a container has inside its namespace dies with it.
"""
