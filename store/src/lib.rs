//! What survives a power cut: the journal, its snapshots, and the index behind it.
