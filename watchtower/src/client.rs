//! A client's connection to one tower, whichever program it runs in.
