"""The database's steps from version to version: `NNNN_name.sql`, applied in order, each in one transaction."""
