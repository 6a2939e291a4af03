"""The event log and everything derived from it, in one DuckDB file."""
