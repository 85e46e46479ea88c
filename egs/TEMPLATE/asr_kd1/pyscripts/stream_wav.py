#!/usr/bin/env python3
"""Transcribe a WAV file chunk by chunk: stream_wav.py ctc.streaming.onnx FILE.wav.

It needs onnxruntime, numpy and kaldi_native_fbank; neither torch, ESPnet nor espnet_kd.
"""

import json
import sys
import wave

import kaldi_native_fbank
import numpy as np
import onnxruntime


def main(graph: str, wav: str) -> None:
    """Print the text as it is written."""
    session = onnxruntime.InferenceSession(graph, providers=["CPUExecutionProvider"])
    facts = session.get_modelmeta().custom_metadata_map
    tokens, last = json.loads(facts["token_list"]), (blank := int(facts["blank_id"]))
    begin = json.loads(facts["state"])
    state = {name: np.zeros(one["shape"], one["type"]) for name, one in begin.items()}
    fbank = online_fbank(facts)
    rate, shift = int(facts["sample_rate"]), float(facts["frame_shift_ms"])
    size = round(rate * shift / 1000) * int(facts["chunk_frames"])  # samples of a chunk
    heard, is_final = 0, False
    with wave.open(wav) as audio:
        if (audio.getframerate(), audio.getnchannels(), audio.getsampwidth()) != (
            rate,
            1,
            2,
        ):
            sys.exit(f"stream_wav: {wav} is not of one channel of 16 bits at {rate} Hz")
        while not is_final:
            samples = np.frombuffer(audio.readframes(size), "<i2")
            fbank.accept_waveform(rate, samples.tolist())
            if is_final := len(samples) < size:
                fbank.input_finished()
            rows = [fbank.get_frame(i) for i in range(heard, fbank.num_frames_ready)]
            heard += len(rows)
            feats = np.array(rows, np.float32).reshape(1, len(rows), fbank.dim)
            given = {"feats": feats, "is_final": np.array(is_final), **state}
            log_probs, *values = session.run(None, given)
            state = dict(zip(state, values, strict=True))
            fbank.pop(len(rows))
            for label in log_probs[0].argmax(-1):
                if label not in (last, blank):
                    print(spelling(tokens[label]), end="", flush=True)
                last = label
    print()


def spelling(token: str) -> str:
    """What a token adds to the text: a blank where a word begins."""
    return token.replace("\u2581", " ").replace("<space>", " ")


def online_fbank(facts: dict[str, str]) -> kaldi_native_fbank.OnlineFbank:
    """Filter banks as extract_fbank.py makes them, of what a graph's metadata say."""
    if facts["frontend"] != "null":
        sys.exit("stream_wav: the model has a front end of its own, not filter banks")
    options = kaldi_native_fbank.FbankOptions()
    options.frame_opts.samp_freq = float(facts["sample_rate"])
    options.frame_opts.frame_shift_ms = float(facts["frame_shift_ms"])
    options.frame_opts.dither = 0.0
    options.mel_opts.num_bins = int(facts["feature_size"])
    return kaldi_native_fbank.OnlineFbank(options)


if __name__ == "__main__":
    if len(sys.argv) != 3:
        sys.exit(__doc__)
    main(*sys.argv[1:])
