"""Chunk by chunk, against ESPnet's own pass over the whole and its own streaming."""

import csv
import logging

import pytest
import torch
from conftest import INPUT_SIZE, SHARED
from streams import AUDIO, KINDS, block_exp, block_model, block_options, driver_of

from espnet_kd.alignment.ctc_best import greedy_ctc
from espnet_kd.errors import KDError
from espnet_kd.streaming.driver import ChunkEncoder, least_frames
from espnet_kd.streaming.front_end import FeatureFrontEnd

SHAPES = [(8, 4, 2), (16, 8, 4), (6, 3, 3), (4, 4, 0), (40, 16, 16)]
# A frame, less than a block, seams of the blocks above, several blocks.
FRAMES = [7, 31, 65, 66, 67, 163, 164, 165, 220]
CHUNK = 8192  # 16 frames of the encoder's


def noise(*shape, seed=0):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def in_chunks(encode, speech, chunk):
    encode.start()
    whole = len(speech) // chunk
    with torch.no_grad():
        return torch.cat(
            [
                encode(speech[n * chunk : (n + 1) * chunk], is_final=n == whole)
                for n in range(whole + 1)
            ]
        )


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("shape", SHAPES, ids=str)
def test_the_encoder_says_in_chunks_what_it_says_in_training(kind, shape):
    model = block_model(block_options(kind, shape))
    encode = ChunkEncoder(model, FeatureFrontEnd(model))
    for frames in FRAMES:
        speech = noise(frames, INPUT_SIZE)
        with torch.no_grad():
            expected, _ = model.encode(speech[None].clone(), torch.tensor([frames]))
        for chunk in (1, 16, 33, 500):
            found = in_chunks(encode, speech, chunk)
            torch.testing.assert_close(found, expected[0], rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize(
    ("layer", "frames"), [("conv2d", 7), ("conv2d6", 11), ("conv2d8", 15)]
)
def test_least_frames_are_those_of_espnets_subsampling(layer, frames):
    conf = block_options()["encoder_conf"] | {"input_layer": layer}
    model = block_model(block_options(encoder_conf=conf))
    assert least_frames(model.encoder) == frames
    encode = ChunkEncoder(model, FeatureFrontEnd(model))
    assert in_chunks(encode, noise(frames, INPUT_SIZE), 4).shape == (1, 16)
    assert in_chunks(encode, noise(frames - 1, INPUT_SIZE), 4).shape == (0, 16)


def test_espnet_repeats_frames_between_chunks_of_other_input_layers():
    """Which is why they are refused; ten chunks of ten frames come out as 109."""
    conf = block_options()["encoder_conf"] | {"input_layer": "linear"}
    encoder = block_model(block_options(encoder_conf=conf)).encoder
    speech, states, count = noise(1, 100, INPUT_SIZE), None, 0
    with torch.no_grad():
        for start in range(0, 100, 10):
            chunk, options = speech[:, start : start + 10], {"is_final": start == 90}
            lengths = torch.tensor([10])
            encoded, _, states = encoder(chunk, lengths, states, infer_mode=True, **options)
            count += encoded.shape[1]
    assert count == 109


@pytest.fixture(scope="module")
def drivers(tmp_path_factory):
    """By search, drivers of a model of features and of one of audio."""
    root = tmp_path_factory.mktemp("exps")
    exps = [block_exp(root / "f"), block_exp(root / "a", **AUDIO)]
    return {
        "ctc": [driver_of(exp) for exp in exps],
        "beam": [driver_of(exp, "beam", beam_size=2) for exp in exps],
    }


@pytest.mark.parametrize("search", ["ctc", "beam"])
def test_utterances_shorter_than_a_chunk_and_empty_ones(drivers, search):
    features, audio = drivers[search]
    for frames in (7, 12, 20, 25, 31):  # a chunk is 32 frames
        (answer,) = features("u", noise(frames, INPUT_SIZE), 32)
        assert answer.labels
        assert answer.heard == frames
    for frames in (0, 1, 6):
        assert features("u", noise(frames, INPUT_SIZE), 32)[-1].labels == ()
    for samples in (1000, 2000, 3000, 3500, 4000):  # a chunk is 4096 samples
        (answer,) = audio("u", 0.1 * noise(samples), 4096)
        assert answer.labels
    for samples in (0, 1, 300, 700):
        assert audio("u", 0.1 * noise(samples), 4096)[-1].labels == ()


def whole_labels(driver, speech):
    """Greedy CTC over ESPnet's own pass over the whole."""
    with torch.no_grad():
        encoded, lens = driver.model.encode(
            speech[None].clone(), torch.tensor([len(speech)])
        )
        return greedy_ctc(driver.model.ctc.ctc_lo(encoded), lens)[0]


def test_greedy_labels_are_those_of_the_whole(drivers):
    features, audio = drivers["ctc"]
    for frames in (7, 64, 300, 6000):  # the last is a minute
        speech = noise(frames, INPUT_SIZE)
        answers = features("u", speech, 32)
        assert list(answers[-1].labels) == whole_labels(features, speech)
        assert [a.heard for a in answers] == [*range(32, frames + 1, 32), frames]
        assert all(a.seconds > 0 for a in answers)
    for samples in (30000, 960000):
        speech = 0.1 * noise(samples)
        assert list(audio("u", speech, 4096)[-1].labels) == whole_labels(audio, speech)


@pytest.mark.slow
def test_the_beam_searches_a_minute(tmp_path):
    """Up to the number of tokens that it is allowed, 0.03 of 1498 frames."""
    exp = block_exp(tmp_path / "m", shape=(40, 16, 16))
    driver = driver_of(exp, "beam", beam_size=2, maxlenratio=0.03)
    answers = driver("u", noise(6000, INPUT_SIZE), 64)
    assert len(answers) == 94
    assert 30 < len(answers[-1].labels) <= 44


@pytest.mark.parametrize("search", ["ctc", "beam"])
def test_nothing_is_left_of_the_utterance_before(drivers, search, tmp_path):
    """Not of one that ended, nor of one that failed on the way."""
    options = {"beam_size": 2} if search == "beam" else {}
    speech = noise(200, INPUT_SIZE, seed=1)
    fresh = driver_of(block_exp(tmp_path / "f"), search, **options)("u", speech, 32)
    driver = drivers[search][0]
    driver("before", noise(333, INPUT_SIZE), 32)
    with pytest.raises(KDError, match="'broken' cannot be streamed"):
        driver("broken", noise(100, INPUT_SIZE).long(), 32)
    again = driver("u", speech, 32)
    assert [a.labels for a in again] == [a.labels for a in fresh]


def test_what_the_model_does_not_take_is_refused(drivers):
    features, audio = drivers["ctc"]
    with pytest.raises(KDError, match="'u' is audio, and the model takes features of 20"):
        features("u", noise(4000), 32)
    with pytest.raises(KDError, match="is features of 7 numbers, and the model takes 20"):
        features("u", noise(50, 7), 32)
    with pytest.raises(
        KDError, match="'u' is features of 20 numbers, and the model takes a"
    ):
        audio("u", noise(50, 20), 32)


def test_a_search_without_its_part_of_the_model_is_refused(tmp_path):
    conf = {"model_conf": {"ctc_weight": 0.0}}
    exp = block_exp(tmp_path / "attention", **conf)
    with pytest.raises(KDError, match="was trained without CTC, by which it is to be deco"):
        driver_of(exp)
    speech = noise(100, INPUT_SIZE)
    assert driver_of(exp, "beam", beam_size=2)("u", speech, 32)[-1].labels
    ctc_only = block_exp(tmp_path / "ctc", model_conf={"ctc_weight": 1.0})
    assert driver_of(ctc_only, "beam", beam_size=2)("u", speech, 32)[-1].labels


def test_blocks_that_the_config_does_not_name_are_espnets(tmp_path):
    """Its own tool stops at such a model, though it trains one."""
    conf = block_options()["encoder_conf"]
    conf = {k: v for k, v in conf.items() if "size" not in k[-9:] or k == "output_size"}
    conf.pop("look_ahead")
    driver = driver_of(block_exp(tmp_path / "m", encoder_conf=conf))
    encoder = driver.model.encoder
    assert (encoder.block_size, encoder.hop_size, encoder.look_ahead) == (40, 16, 16)


def stock_labels(stock, audio):
    """What ESPnet's own tool writes, as its main loop feeds it."""
    count = len(audio) // CHUNK
    for place in range(count):
        stock(audio[place * CHUNK : (place + 1) * CHUNK], is_final=False)
    results = stock(audio[count * CHUNK :], is_final=True)
    return results[0][2]


def an4_test(limit):
    """AN4's test utterances in their order."""
    import soundfile

    with open(SHARED / "an4_audio" / "test.tsv", encoding="utf-8") as file:
        rows = list(csv.reader(file, delimiter="\t"))
    for utt, path, _ in rows[:limit]:
        audio, _rate = soundfile.read(SHARED / "an4_audio" / path, dtype="float32")
        yield utt, torch.from_numpy(audio)


@pytest.mark.slow
@pytest.mark.skipif(not (SHARED / "an4_audio").exists(), reason="no AN4 audio")
@pytest.mark.parametrize("kind", KINDS)
def test_at_40_16_16_the_tokens_are_those_of_espnets_own_tool(kind, tmp_path):
    from espnet2.bin.asr_inference_streaming import Speech2TextStreaming

    exp = block_exp(tmp_path / "m", kind=kind, shape=(40, 16, 16), **AUDIO)
    files = (str(exp / "config.yaml"), str(exp / "valid.acc.ave.pth"))
    stock = Speech2TextStreaming(*files, beam_size=2)
    driver = driver_of(exp, "beam", beam_size=2)
    longer, said = 0, set()
    logging.disable(logging.WARNING)
    try:
        for utt, audio in an4_test(10):
            if len(audio) >= CHUNK:
                longer += 1
                labels = driver(utt, audio, CHUNK)[-1].labels
                assert list(labels) == stock_labels(stock, audio), utt
                said.add(labels)
    finally:
        logging.disable(logging.NOTSET)
    assert longer >= 8
    assert len(said) >= 8  # not one answer to everything
