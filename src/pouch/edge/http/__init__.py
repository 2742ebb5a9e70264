"""The Docker Engine API (1.24 to 1.56) and Pouch's extensions, over h11 on asyncio streams.

server: listener; connection: one client; router: path to handler; message: what handlers take and give;
hijack: raw streams; errors: the table to status codes; schema: Docker's documents; one file per noun with its handlers.
"""
