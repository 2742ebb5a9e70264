"""Edges: protocols of the outside translated to the engine and back. They translate, never decide; each on its own."""
