"""The live track rehearsed: small tasks of our own, and a provider that simulates the pool's models."""
