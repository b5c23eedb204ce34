"""Containers: the engine, images, sandboxes. The only importer of docker."""
