//! A claim's life from the first sight of a breach to a hundred blocks on top of its justice.
