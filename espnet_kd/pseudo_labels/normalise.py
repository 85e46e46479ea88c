"""The one way in which transcripts are made alike before they are compared."""

import unicodedata

KEPT_PUNCTUATION = "'"


def normalise(text: str) -> str:
    """Strip a transcript of case, punctuation and spare blanks.

    Compatibility forms are unified (NFKC), curly apostrophes straightened; an apostrophe
    inside a word stays, every other mark of punctuation and every symbol becomes a blank.
    Numbers stay as they are written: ``2`` and ``TWO`` differ.
    """
    text = unicodedata.normalize("NFKC", text).replace("\u2019", "'").casefold()
    kept = (c if _belongs_to_a_word(c) else " " for c in text)
    words = "".join(kept).split()
    return " ".join(w for w in (word.strip("'") for word in words) if w)


def _belongs_to_a_word(character: str) -> bool:
    # Letters, marks that combine with them, numbers.
    return character in KEPT_PUNCTUATION or unicodedata.category(character)[0] in "LMN"
