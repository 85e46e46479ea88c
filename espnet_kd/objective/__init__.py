"""One loss of many terms: weights, schedules, gradients, and numbers that explain it."""
