"""Providers: where responses come from over HTTP. The only importer of litellm."""
