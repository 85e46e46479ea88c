"""Command line tools: each a ``get_parser`` and a ``main``."""
