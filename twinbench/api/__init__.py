"""The library's public functions (``import twinbench as tb``)."""
