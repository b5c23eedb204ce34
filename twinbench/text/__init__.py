"""The text of chat messages, and the number of tokens in it."""
