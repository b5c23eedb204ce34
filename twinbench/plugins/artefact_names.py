"""Names of the files and folders of a trained router. Standard library only."""

MANIFEST = "artefact.json"
"""The file by which the folder of a trained router is known."""

LEARNED = "learned"
"""The folder that ``save`` writes into and ``load`` reads from."""

CODE = "code"
"""The folder with the router's own modules."""
