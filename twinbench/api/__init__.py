"""twinbench as a library: what ``import twinbench as tb`` gives."""
