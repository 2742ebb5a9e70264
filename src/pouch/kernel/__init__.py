"""Linux as the house uses it: thin, typed, blocking wrappers that know nothing of containers.

The rule of the room: a function here does one thing to the kernel and says exactly what failed (KernelError: system call,
object, errno). It keeps no state, decides nothing and knows no word of the engine. This is the only room that imports ctypes;
it imports nothing but `pouch.spec`. Whatever blocks is called in a worker thread by those above, so nothing here changes what a
thread shares with others for longer than the call: no chdir, umask, chroot, unshare or fork in the caller's thread.
"""
