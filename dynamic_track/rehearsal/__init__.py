"""The rehearsal of the live track: small tasks of our own, and a provider that simulates the pool's models."""
