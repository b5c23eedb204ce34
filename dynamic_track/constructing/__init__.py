"""Tasks executed by the live track's agent for banks that are built: an assignment decides in a router's place."""
