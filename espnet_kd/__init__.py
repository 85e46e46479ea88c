"""Knowledge distillation for ESPnet2: a teacher, a student's config, one more file."""

__version__ = "0.1.0"
__all__ = ["__version__", "attach", "attachment_of", "detach"]


def __getattr__(name: str) -> object:
    # Lazy, so that running a stock ESPnet tool through the plugin costs it no import.
    if name in ("attach", "attachment_of", "detach"):
        from espnet_kd.hook import attach as hook

        return getattr(hook, name)
    raise AttributeError(f"module 'espnet_kd' has no attribute '{name}'")
