"""Providers: responses over HTTP. The only package that imports litellm."""
