"""The domain: containers, execs, images, events. Decides, never touches the kernel; async, one task owns one container at a time."""
