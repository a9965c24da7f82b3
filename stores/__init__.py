"""What every app stands on: PostgreSQL, Valkey, group commit, news between processes, ids."""
