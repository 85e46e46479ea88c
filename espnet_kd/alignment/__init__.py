"""Positions of two sequences laid side by side: frames, CTC and transducer lattices."""
