//! What comes in over BOLT 8: sessions, quotas, records, and the acknowledgements that follow the sync.
