"""A scripted session of Docker's command line, played against dockerd and against pouchd, and what both said.

chapters/     what is typed, by subject; each chapter starts on an engine without containers and leaves none
player        runs the lines and keeps exit code, stdout and stderr of each
masks         takes out what differs from run to run: ids, times, addresses of hardware
recordings    what dockerd said, as data (tests/clients/data), and the differences that are meant
dockerd       a dockerd of our own, taken apart from Debian's packages, on a host of namespaces
engines       both engines as a session needs them

`scripts/record-docker-session` writes the recordings anew; tests/clients/test_docker_session.py plays the session against pouchd
and needs none of dockerd's programs.
"""
