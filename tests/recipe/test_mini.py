"""The mini corpus: synthetic, reproducible, with nothing shared between its parts."""

import random
import sys

import mini_grammar
import pytest
import synthesise_mini
from conftest import RECIPE


@pytest.fixture(scope="module")
def corpora(tmp_path_factory):
    """The same small corpus made by two processes, and one of another seed."""
    import subprocess

    made = []
    for index, seed in enumerate((0, 0, 1)):
        out = tmp_path_factory.mktemp("mini") / str(index)
        subprocess.run(
            [
                *(sys.executable, str(RECIPE / "pyscripts" / "synthesise_mini.py")),
                *("--output_dir", str(out), "--seed", str(seed), "--scale", "0.1"),
            ],
            check=True,
            capture_output=True,
        )
        made.append(
            {p.relative_to(out): p.read_bytes() for p in out.rglob("*.*") if p.is_file()}
        )
    return made


def test_it_is_the_same_in_every_process_and_another_by_seed(corpora):
    first, second, other = corpora
    assert first == second
    assert first != other


def transcripts(corpus):
    return {
        path: line.split(" ", 1)
        for path, data in corpus.items()
        if path.name.endswith(".trans.txt")
        for line in data.decode().splitlines()
    }


def test_layout_is_librispeechs(corpora):
    names = {str(path) for path in corpora[0]}
    assert "train-few/1000/1/1000-1-0000.flac" in names
    assert "train-few/1000/1/1000-1.trans.txt" in names
    assert "SPEAKERS.TXT" in names


def test_speakers_and_sentences_are_disjoint(corpora):
    speakers, sentences = {}, []
    for path, (_, text) in transcripts(corpora[0]).items():
        speakers.setdefault(path.parts[0], set()).add(path.parts[1])
        sentences.append(text)
    assert set(speakers) == set(synthesise_mini.SUBSETS)
    together = [s for subset in speakers.values() for s in subset]
    assert len(together) == len(set(together)) == 190
    assert len(sentences) == len(set(sentences))


def test_audio_is_16_khz_and_neither_silent_nor_clipped(corpora, tmp_path):
    import io

    import numpy as np
    import soundfile

    flacs = [data for path, data in corpora[0].items() if path.suffix == ".flac"]
    assert len(flacs) == 190
    for data in flacs[::10]:
        samples, rate = soundfile.read(io.BytesIO(data))
        assert rate == 16000
        assert 0.5 < len(samples) / rate < 8
        assert 0.29 < np.abs(samples).max() < 0.91


def test_the_grammar_has_enough_words_and_speaks_only_them():
    words = mini_grammar.words()
    assert len(words) >= 200
    rng = random.Random(0)
    said = " ".join(mini_grammar.sentence(rng) for _ in range(3000)).split()
    assert set(said) <= words
    assert len(set(said)) > 0.95 * len(words)


@pytest.mark.parametrize(
    ("one", "many"),
    [("apple", "apples"), ("sandwich", "sandwiches"), ("potato", "potatoes")],
)
def test_plurals(one, many):
    assert mini_grammar.plural(one) == many
