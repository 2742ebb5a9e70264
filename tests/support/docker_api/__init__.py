"""Every endpoint of Docker's API, asked of dockerd and of pouchd in the same way, and how the answers compare.

endpoints     the requests, endpoint by endpoint, in an order in which each finds what it needs
asking        sends a request, and keeps of the answer what can be compared: status, media type, sentence, members of the document
table         compares, and writes docs/docker-api.md
record        what scripts/api-table runs

What dockerd answered is data (tests/clients/data/docker-api.json): tests/clients/test_docker_api.py needs no dockerd.
"""
