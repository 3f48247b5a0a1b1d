//! What a tower keeps, and in which order it becomes durable.
