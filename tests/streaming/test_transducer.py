"""A transducer chunk by chunk, against its layers over the whole and ESPnet's own tool."""

import csv
from itertools import pairwise

import pytest
import torch
from conftest import INPUT_SIZE, SHARED
from streams import AUDIO, chunk_driver, chunk_exp

from espnet_kd.errors import KDError
from espnet_kd.streaming.chunks import Chunks, check_chunks, frames_of, stride_of

WINDOW = 320  # milliseconds, 5120 samples
MAES = {
    **{"beam_size": 2, "decoding_window": WINDOW, "left_context": 16},
    "beam_search_config": {"search_type": "maes"},
}
GREEDY = {"beam_size": 1, "decoding_window": WINDOW, "left_context": 16}


def noise(*shape, seed=0):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def pieces(driver, speech, chunk):
    """The frames of the encoder's output that each chunk completes."""
    driver.encode.start()
    whole = len(speech) // chunk
    with torch.no_grad():
        return [
            driver.encode(speech[n * chunk : (n + 1) * chunk], is_final=n == whole)
            for n in range(whole + 1)
        ]


def expected(encoder, speech, sizes, left):
    """The encoder's layers over the whole, under a mask of the chunks that were written."""
    x, _ = encoder.embed(speech[None], torch.zeros(1, len(speech), dtype=torch.bool))
    starts = [sum(sizes[:n]) for n in range(len(sizes))]
    mask = torch.ones(x.shape[1], x.shape[1], dtype=torch.bool)
    for start, size in zip(starts, sizes, strict=True):
        mask[start : start + size, max(start - left, 0) : start + size] = False
    padding = torch.zeros(1, x.shape[1], dtype=torch.bool)
    found = encoder.encoders(x, encoder.pos_enc(x), padding, chunk_mask=mask)
    return found[0] if isinstance(found, tuple) else found


@pytest.fixture(scope="module")
def exps(tmp_path_factory):
    root = tmp_path_factory.mktemp("exps")
    return {
        "features": chunk_exp(root / "f"),
        "audio": chunk_exp(root / "a", **AUDIO),
        "mild": chunk_exp(root / "m", 1, is_sharp=False, **AUDIO),
        "mild features": chunk_exp(root / "n", 1, is_sharp=False),
    }


@pytest.mark.parametrize("chunk", [1, 16, 33, 64, 500])
@pytest.mark.parametrize("left", [0, 8])
def test_every_frame_of_the_whole_is_written_as_its_chunk_hears_it(exps, chunk, left):
    """Features of any length in chunks of any length, a seam or not."""
    driver = chunk_driver(exps["features"], chunk, left_context=left)
    encoder = driver.model.encoder
    for frames in (7, 8, 31, 64, 66, 67, 163, 220):
        speech = noise(frames, INPUT_SIZE)
        found = pieces(driver, speech, chunk)
        with torch.no_grad():
            whole = expected(encoder, speech, [len(p) for p in found], left)
        torch.testing.assert_close(torch.cat(found)[None], whole, rtol=1e-4, atol=1e-5)


def test_a_chunk_is_heard_in_training_as_it_is_here(exps):
    """Chunks of which the first is as long as the others: a frame of the mask's each."""
    from espnet2.asr_transducer.utils import make_chunk_mask

    driver = chunk_driver(exps["features"], 32, left_context=16)
    speech, encoder = noise(200, INPUT_SIZE), driver.model.encoder
    # 43 frames of features are 8 of the encoder's, and the two of the seams.
    found = []
    driver.encode.start()
    with torch.no_grad():
        for start, end in ((0, 39), (39, 71), (71, 103), (103, 200)):
            found.append(driver.encode(speech[start:end], is_final=end == 200))
        assert [len(piece) for piece in found[:3]] == [8, 8, 8]
        mask = make_chunk_mask(24, 8, num_left_chunks=2)
        x, _ = encoder.embed(speech[None], torch.zeros(1, 200, dtype=torch.bool))
        padding = torch.zeros(1, 24, dtype=torch.bool)
        whole = encoder.encoders(
            x[:, :24], encoder.pos_enc(x[:, :24]), padding, chunk_mask=mask
        )
    whole = whole[0] if isinstance(whole, tuple) else whole
    torch.testing.assert_close(torch.cat(found[:3])[None], whole, rtol=1e-4, atol=1e-5)


def test_a_frame_is_written_when_the_seam_is_behind_it(exps):
    """Frame k hears features 4 k to 4 k + 6, and the seam is a frame more: 4 k + 10."""
    driver = chunk_driver(exps["features"], 1)
    found = [len(piece) for piece in pieces(driver, noise(40, INPUT_SIZE), 1)]
    due = {4 * k + 11 for k in range(8)}
    assert found[:-1] == [int(n + 1 in due) for n in range(40)]
    assert sum(found) == (40 - 7) // 4 + 1  # with the end, all that there are


@pytest.mark.parametrize("options", [GREEDY, GREEDY | {"beam_size": 3}])
def test_short_and_empty_utterances(exps, options):
    features = chunk_driver(exps["mild features"], 32, **options)
    for frames in (0, 1, 6):
        assert features("u", noise(frames, INPUT_SIZE), 32)[-1].labels == ()
    for frames in (7, 20, 31, 32, 33):
        assert features("u", noise(frames, INPUT_SIZE), 32)[-1].heard == frames
    assert features("u", torch.zeros(0), 32)[-1].labels == ()
    audio = chunk_driver(exps["mild"], 5120, **options)
    assert audio("u", torch.zeros(0), 5120)[-1].labels == ()
    for samples in (1, 300, 5119, 5120, 5121):
        answers = audio("u", 0.1 * noise(samples), 5120)
        assert answers[-1].heard == samples


@pytest.mark.parametrize("kind", ["features", "audio"])
def test_nothing_is_left_of_the_utterance_before(exps, kind, monkeypatch):
    """Not of one that ended, nor of one that failed on the way."""
    chunk, scale = (32, 1.0) if kind == "features" else (5120, 0.1)
    shape = (INPUT_SIZE,) if kind == "features" else ()
    speech = scale * noise(9 * chunk + 5, *shape, seed=1)
    fresh = chunk_driver(exps[kind], chunk, **GREEDY)("u", speech, chunk)
    assert fresh[-1].labels
    driver = chunk_driver(exps[kind], chunk, **GREEDY)
    driver("before", scale * noise(5 * chunk, *shape), chunk)
    joint = driver.model.joint_network
    own, calls = joint.forward, iter(range(20))

    def fail(*given, **more):
        if next(calls, None) is None:
            raise RuntimeError("out of tune")
        return own(*given, **more)

    with monkeypatch.context() as patch:
        patch.setattr(joint, "forward", fail)
        with pytest.raises(
            KDError, match=r"'broken' cannot be streamed \(RuntimeError: out of tune"
        ):
            driver("broken", speech, chunk)
    again = driver("u", speech, chunk)
    assert [a.labels for a in again] == [a.labels for a in fresh]


def test_small_chunks_of_audio_are_held_back_until_they_are_frames(exps):
    """ESPnet stops at a first chunk of less than 128 ms; at later ones of less than 32."""
    driver = chunk_driver(exps["audio"], 100, **GREEDY)
    found = pieces(driver, 0.1 * noise(16000), 100)
    begins = next(n for n, piece in enumerate(found) if len(piece))
    assert begins == 20  # with the 21st chunk 2100 samples, the first above 2048
    assert sum(map(len, found)) > 25


def stock_labels(stock, audio, chunk):
    """What ESPnet's own tool writes, as its main loop feeds it."""
    count = len(audio) // chunk
    for place in range(count):
        stock.streaming_decode(audio[place * chunk : (place + 1) * chunk], is_final=False)
    hyps = stock.streaming_decode(audio[count * chunk :], is_final=True)
    return stock.hypotheses_to_results(hyps)[0][2]


def stock_tool(exp, options):
    from espnet2.bin.asr_transducer_inference import Speech2Text

    files = (str(exp / "config.yaml"), str(exp / "valid.acc.ave.pth"))
    return Speech2Text(*files, streaming=True, **options)


def compare(exp, utterances, options):
    """The answers of both, of every utterance."""
    chunk = 16 * options["decoding_window"]
    stock, driver = stock_tool(exp, options), chunk_driver(exp, chunk, **options)
    said = set()
    for utt, audio in utterances:
        labels = driver(utt, audio, chunk)[-1].labels
        assert list(labels) == stock_labels(stock, audio, chunk), utt
        said.add(labels)
    return said


@pytest.mark.parametrize(
    "options",
    [
        GREEDY,
        GREEDY | {"beam_size": 3, "decoding_window": 160},
        {
            "beam_size": 3,
            "decoding_window": 200,
            "left_context": 0,
            "beam_search_config": {"search_type": "maes", "score_norm": True},
        },
        {
            "beam_size": 2,
            "decoding_window": 640,
            "beam_search_config": {"search_type": "tsd"},
        },
    ],
    ids=["greedy", "beam", "maes", "tsd"],
)
def test_the_tokens_are_those_of_espnets_own_tool(exps, options):
    lengths = (500, 2560, 5120, 20480, 31000, 48000)
    utterances = [(str(n), 0.1 * noise(n, seed=n)) for n in lengths]
    is_endless = "beam_search_config" not in options and options["beam_size"] > 1
    exp = exps["mild" if is_endless else "audio"]
    assert len(compare(exp, utterances, options)) >= 3


def an4_test():
    """AN4's test utterances in their order."""
    import soundfile

    with open(SHARED / "an4_audio" / "test.tsv", encoding="utf-8") as file:
        rows = list(csv.reader(file, delimiter="\t"))
    for utt, path, _ in rows:
        audio, _rate = soundfile.read(SHARED / "an4_audio" / path, dtype="float32")
        yield utt, torch.from_numpy(audio)


@pytest.mark.slow
@pytest.mark.skipif(not (SHARED / "an4_audio").exists(), reason="no AN4 audio")
def test_every_utterance_of_an4_is_answered_as_by_espnets_own_tool(exps):
    """By a search that takes two steps a frame at most."""
    assert len(compare(exps["audio"], an4_test(), MAES)) >= 100  # of 130


def test_what_is_written_stays_or_is_revised_chunk_by_chunk(exps):
    """Greedily nothing is taken back; the best of a beam may be."""
    driver = chunk_driver(exps["features"], 32, **GREEDY)
    answers = [a.labels for a in driver("u", noise(400, INPUT_SIZE), 32)]
    assert all(b[: len(a)] == a for a, b in pairwise(answers))
    assert len(set(answers)) > 2


def test_what_does_not_stream_is_refused(exps, tmp_path):
    whole = chunk_exp(tmp_path / "whole", chunks=False)
    with pytest.raises(
        KDError, match="was trained without chunks and hears utterances who"
    ):
        chunk_driver(whole, 32)
    with pytest.raises(KDError, match="'search_type: alsd', which begins anew with every"):
        chunk_driver(exps["features"], 32, beam_search_config={"search_type": "alsd"})
    with pytest.raises(KDError, match="no option of asr_transducer_inference: did you me"):
        chunk_driver(exps["features"], 32, beam_sise=1)
    main = {"main_conf": {"dynamic_chunk_training": True}}
    conf = main | {"body_conf": [{"block_type": "conv1d"}, {"block_type": "conformer"}]}
    with pytest.raises(KDError, match="m has blocks 'conv1d', of which ESPnet keeps no"):
        check_chunks("m", {"encoder_conf": conf})
    with pytest.raises(KDError, match="m is no model of the asr_transducer task"):
        check_chunks("m", {"encoder_conf": {"output_size": 8}})
    conf = main | {"body_conf": [{"block_type": "conformer"}]}
    with pytest.raises(KDError, match="m has 'normalize: utterance_mvn', by a mean"):
        check_chunks("m", {"encoder_conf": conf, "normalize": "utterance_mvn"})


@pytest.mark.parametrize(
    ("factor", "vgg", "stride"), [(2, False, 2), (4, False, 4), (6, False, 6), (4, True, 4)]
)
def test_frames_are_counted_as_the_embedding_counts_them(factor, vgg, stride):
    from espnet2.asr_transducer.encoder.blocks.conv_input import ConvInput

    embed = ConvInput(INPUT_SIZE, (4, 4) if vgg else 4, factor, vgg, 8)
    assert stride_of(embed) == stride
    for frames in range(16, 40):
        with torch.no_grad():
            found, _ = embed(torch.zeros(1, frames, INPUT_SIZE))
        assert frames_of(embed, frames) == found.shape[1]
        assert frames_of(embed, frames + stride) == found.shape[1] + 1


def test_waits_by_hand():
    """Eight frames of 40 ms: the first waits for all, the last for the seam alone."""
    chunks = Chunks(8, 32, 40.0)
    assert (chunks.look_ahead_ms, chunks.longest_wait_ms, chunks.first_ms) == (40, 320, 320)
    assert chunks.shown == "chunks of 8 frames of 40 ms and 32 behind them"
