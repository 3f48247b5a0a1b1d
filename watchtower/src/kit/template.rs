//! What all records of a session have in common, said once.
