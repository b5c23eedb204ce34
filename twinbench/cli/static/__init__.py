"""The commands of the static track, and of its banks."""
