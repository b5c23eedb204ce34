"""The checks of answers that come with twinbench, a module each."""
