"""A crash at every named point on a real broker: the operation that passes it, the kill, the second start, the end state."""
