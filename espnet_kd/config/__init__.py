"""The ``kd_conf``: its form, its reading, its problems."""
