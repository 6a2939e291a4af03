"""Window queries: what evaluation asks of the stored events, answered as counts and sorted-ready columns."""
