"""The commands of the live track."""
