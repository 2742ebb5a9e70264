"""Docker's request documents as msgspec structs. Field names are Docker's own; what a client leaves out has Docker's default."""
