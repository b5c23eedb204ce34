"""Containers: the engine, images, sandboxes. The only package that imports docker."""
