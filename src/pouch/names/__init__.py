"""The name service of user-defined networks: a program of its own (`pouch-names`), one for each daemon, which outlives it.

message: DNS on the wire, the one user of dnspython; book: who is called what in which network; upstream: questions that others
answer; streams: clients and servers that use TCP; service: the loop; control: what the daemon says (see `network.names`, its end
of it); program: start and confinement.

The rule of the room: it reads what containers and the network send, so it imports little, runs without rights, files or id, never
trusts a length or a name, bounds whatever it keeps for each container, and answers a mistake with silence or an error code, never
with its end. No asyncio: one small loop of epoll(7) is all it takes, and starts in a third of the time.
"""
