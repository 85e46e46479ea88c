"""ESPnet's side: its releases, experiment directories, data and files."""
