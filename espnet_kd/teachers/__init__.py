"""Teachers: frozen models, cached targets, averages, language models, several as one."""
