"""The panel's parts. The folder has a name of its own: all extensions' module folders share one ``sys.path``."""
