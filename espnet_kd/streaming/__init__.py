"""Models that answer while one speaks: fed chunk by chunk, and how late they are."""
