"""PostgreSQL: the cache, the catalogue, the decision log, and what keeps their tables."""
