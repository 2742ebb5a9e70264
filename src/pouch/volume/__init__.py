"""Volumes: data with names of their own, by whichever driver keeps it.

volumes: which there are, who has them mounted, and what a crash left half-done; local: the driver of this host's directories;
options: what its options mean; copyup: what an image has at a volume's place; plugins: drivers that are other programs, by
Docker's protocol.

The rule of the room: blocking functions that are called in a worker thread, one change of a volume at a time. A volume's name
is in the database before anything of it is made, and until all of it is gone; what nobody noted is never deleted. Which
containers there are, and whether they run, is the engine's to know: here they are users, an id each.
"""
