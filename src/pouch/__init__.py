"""pouch: a rich container engine. The rooms and their rules stand in docs/architecture.md."""

__version__ = "0.1.0"
