"""Tasks executed under an assignment of models to steps: what a search for labels asks for, and what it gets."""
