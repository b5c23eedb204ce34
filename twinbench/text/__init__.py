"""Conversations as text and as tokens."""
