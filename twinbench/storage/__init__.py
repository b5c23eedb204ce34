"""What is kept: the store, files written whole, fingerprints, locked manifests."""
