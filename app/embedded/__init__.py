"""What a bare machine lacks, started beside the service: PostgreSQL, a broker, a central."""
