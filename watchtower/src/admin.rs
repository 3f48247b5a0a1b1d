//! How whoever runs a tower looks at it and steers it: the answers behind its gRPC service.
