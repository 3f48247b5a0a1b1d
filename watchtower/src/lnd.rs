//! What LND's clients speak: wtwire messages 600 to 607, its blobs, its justice transactions.
