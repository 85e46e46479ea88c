"""Transcripts that a teacher writes, and which of them are kept."""
