"""Executes tasks with the live track's agent for the construction of banks: an assignment decides in place of a
router.
"""
