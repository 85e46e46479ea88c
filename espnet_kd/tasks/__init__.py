"""ESPnet's tasks with distillation, each importable by name.

Multi-GPU training spawns workers that find the task by its name; a patched method would
be lost there, and training would go on without distillation.
"""
