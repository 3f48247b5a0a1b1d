//! One output that a breach lets us take: what to show, until when, at what price.
