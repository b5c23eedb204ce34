"""Live runs of submissions: put together, verified without trust, and repeated in part."""
