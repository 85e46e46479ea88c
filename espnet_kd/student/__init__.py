"""Students made from their teacher."""
