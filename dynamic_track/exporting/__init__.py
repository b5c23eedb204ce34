"""Runs as other programs read them: JSON lines, OpenTelemetry's spans, logs of inspect_ai.

Each is made of a loaded run, whose journal has no secret in it; nothing of this machine's environment is read.
"""
