//! What apps see: the gRPC contract, its client, and the tokens that open it.
