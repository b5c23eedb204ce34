"""What the embedded bank small-models is built from: templates of tasks, and servers for three small models."""
