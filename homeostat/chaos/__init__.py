"""The system under faults: a seeded simulator of the real core, its invariants, and crashes at every point on a real broker."""
