//! What a tower promised, as bytes anybody can check: Merkle mountain ranges, receipts, audits, proofs of fault.
