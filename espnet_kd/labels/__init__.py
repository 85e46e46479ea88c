"""Transcripts by a teacher: what it heard, and which of it is worth learning from."""
