"""Exports runs for other programs: JSON lines, OpenTelemetry spans, logs of inspect_ai.

Each export is made from a loaded run, whose journal contains no secrets; nothing is read from this machine's
environment.
"""
