"""A teacher that was written down: what it cannot say is named."""

from dataclasses import replace

import pytest
import torch
from targets import write_shard

from espnet_kd.cache.header import Coded
from espnet_kd.cache.reader import Cache
from espnet_kd.cache.writer import merge
from espnet_kd.errors import AlignmentError, KDError
from espnet_kd.model.request import Request
from espnet_kd.teachers.base import Question
from espnet_kd.teachers.cached import CachedTeacher


@pytest.fixture
def cached(tmp_path):
    """A teacher of two utterances."""
    write_shard(tmp_path)
    merge(tmp_path, ["a", "b"])
    return CachedTeacher(Cache([tmp_path]))


def test_what_a_cache_lacks_is_named(cached):
    cached.check(Request(ctc=True, decoder=True, nbest=2, taps=("encoder",)))
    for request, text in (
        (Request(nbest=3), "so many hypotheses"),
        (Request(taps=("encoder.encoders.0",)), "--tap encoder.encoders.0"),
        (Request(joint=("classes",)), "no transducer lattices"),
    ):
        with pytest.raises(KDError, match=text):
            cached.check(request)


def test_codebooks_of_another_layer_are_named(cached):
    with pytest.raises(KDError, match="of the teacher's 'encoder', and the cache has none"):
        cached.check(Request(codebooks=("encoder",)))
    coded = (Coded("encoder.encoders.2", 8, 256, "d", 0.3),)
    cached.header = replace(cached.header, codebooks=coded)
    cached.check(Request(codebooks=("encoder.encoders.2",)))
    with pytest.raises(
        KDError, match=r"the cache has those of 'encoder\.encoders\.2'; name"
    ):
        cached.check(Request(codebooks=("encoder",)))
    probed = cached.probe(Question({}, Request())).codes["encoder.encoders.2"]
    assert (probed.values.shape, probed.centroids) == ((1, 1, 8), 256)


def test_the_wrong_tokens_are_refused(cached):
    with pytest.raises(AlignmentError, match=r"0: student nothing, teacher '_'"):
        cached.match_vocabulary(torch.nn.Linear(1, 1), {"ctc"})


def test_a_batch_without_targets_is_refused(cached):
    with pytest.raises(KDError, match=r"without cached targets.*CachedCollate"):
        cached(Question({}, Request(ctc=True)))


def test_a_temperature_that_keeps_no_bound_is_refused(cached):
    cached.check(Request(decoder=(1.0,)))
    with pytest.raises(KDError) as error:
        cached.check(Request(decoder=(1.0, 2.0)))
    text = str(error.value)
    assert "cached decoder posteriors at temperature 2" in text
    assert "tolerance of 0 nats at 1 alone" in text
    assert "--decoder_temperatures 1,2, or use 'targets: live'" in text
