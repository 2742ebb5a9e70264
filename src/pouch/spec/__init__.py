"""The words of the house. Pure values and pure functions: no I/O, no asyncio, no import from another room."""
