"""Command line tools: each module has a ``get_parser`` and a ``main``."""
