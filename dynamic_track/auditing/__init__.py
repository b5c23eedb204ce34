"""What in a run cannot be true, and what its cases must not have done."""
