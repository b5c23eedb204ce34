"""Stored data: the store, files that are written completely or not at all, fingerprints, locked manifests."""
