"""What a run is: typed configs, the exception tree and the ready recipes.

Imports the standard library alone, so that parsing a command line stays instant.
"""
