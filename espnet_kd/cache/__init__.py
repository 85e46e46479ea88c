"""A teacher's targets on disk, by utterance, and nothing wrong in silence.

A cache is a directory with ``header.json`` (what the targets are of, and a digest of the
index), ``targets.scp`` (the index) and ``targets.N.ark``: Kaldi archives whose entries are
byte arrays, each with its utterance's name and a checksum of its own.
"""
