"""The client of registries: OCI distribution-spec over HTTP, with Docker's ways of proving who asks. Blocking; for worker threads.

The rule of the folder: a registry is a stranger. What it sends has a limit, a digest and a deadline; credentials go to the host they are
for, and to no other that this one names. urllib3 is known to `pools` alone, which is imported when a registry is first spoken to.
"""
