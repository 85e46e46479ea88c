"""The corpora that the recipe knows: their sets, where they come from, their sizes."""

from dataclasses import dataclass

LIBRISPEECH = "https://www.openslr.org/resources/12"
MINI_LIBRISPEECH = "https://www.openslr.org/resources/31"


@dataclass(frozen=True)
class Archive:
    """A subset as OpenSLR offers it, with the publisher's checksum."""

    url: str
    md5: str


ARCHIVES = {
    name: Archive(f"{base}/{name}.tar.gz", md5)
    for base, name, md5 in [
        (LIBRISPEECH, "dev-clean", "42e2234ba48799c1f50f24a7926300a1"),
        (LIBRISPEECH, "dev-other", "c8d0bcc9cca99d4f8b62fcc847357931"),
        (LIBRISPEECH, "test-clean", "32fa31d27d2e1cad72775fee3f4849a9"),
        (LIBRISPEECH, "test-other", "fb5a50374b501bb3bac4815ee91d3135"),
        (LIBRISPEECH, "train-clean-100", "2a93770f6d5c6c964bc36631d331a522"),
        (LIBRISPEECH, "train-clean-360", "c0e676e450a7ff2f54aeade5171606fa"),
        (LIBRISPEECH, "train-other-500", "d1a0fd59409feb2c614ce4d30c387708"),
        (MINI_LIBRISPEECH, "train-clean-5", "5df7d4e78065366204ca6845bb08f490"),
        (MINI_LIBRISPEECH, "dev-clean-2", "6d7ab67ac6a1d2c993d050e16d61080d"),
    ]
}

# Data set of the recipe -> subset folders that it is made of.
_LIBRISPEECH_SETS = {
    "train_clean_5": ("train-clean-5",),
    "train_clean_100": ("train-clean-100",),
    "train_clean_460": ("train-clean-100", "train-clean-360"),
    "train_960": ("train-clean-100", "train-clean-360", "train-other-500"),
    "dev_clean_2": ("dev-clean-2",),
    "dev_clean": ("dev-clean",),
    "dev_other": ("dev-other",),
    "dev": ("dev-clean", "dev-other"),
    "test_clean": ("test-clean",),
    "test_other": ("test-other",),
}
SETS = {
    "librispeech": _LIBRISPEECH_SETS,
    "mini_librispeech": _LIBRISPEECH_SETS,
    "mini": {
        "train_few": ("train-few",),
        "train_small": ("train-few", "train-small"),
        "train_more": ("train-more",),
        "train_rest": ("train-small", "train-more"),
        "train_all": ("train-few", "train-small", "train-more"),
        "dev": ("dev-clean",),
        "test": ("test-clean",),
    },
}
