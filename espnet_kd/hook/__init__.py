"""What makes an ESPnet model learn from a teacher, and lets it go again."""
