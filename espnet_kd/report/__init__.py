"""Measure, score and show what a distillation gave."""
