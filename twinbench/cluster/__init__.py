"""Machines of a cluster that Ray manages, whose Docker engines take cases: found, reached, watched and cleaned up."""
