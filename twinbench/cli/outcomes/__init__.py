"""The commands of tables of outcomes."""
