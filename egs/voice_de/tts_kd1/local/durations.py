#!/usr/bin/env python3
"""Write how long every character of every sentence is said, in frames of the mel spectrum.

A forced alignment by the recipe's own recogniser says at which of its frames each
character stands; the frames between two characters, which CTC leaves blank, go halves to
both. Before the first character all are its own; the end of the sentence, which ESPnet
puts behind the last one, has the second half of what is left. Each data directory gets a
file durations, which ESPnet's tts_train reads as text_int. A recogniser that does not know
the voice aligns nothing: on dev it has to write less than --max_cer errors.
"""

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

import soundfile
from recogniser import Recogniser, error_rate

from espnet_kd.bin.command import named_errors
from espnet_kd.documents import read_yaml
from espnet_kd.errors import KDError
from espnet_kd.host.kaldi_dir import read_table, write_table
from espnet_kd.host.progress import Progress


def main(cmd: list[str] | None = None) -> None:
    """Align every set."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--exp", type=Path, required=True, help="of the recogniser")
    parser.add_argument("--file", required=True, help="its checkpoint")
    parser.add_argument("--config", type=Path, required=True, help="of the tts training")
    parser.add_argument("--data_dir", type=Path, required=True)
    parser.add_argument("--sets", nargs="+", default=["dev", "test", "train"])
    parser.add_argument("--max_cer", type=float, default=25.0, help="percent")
    args = parser.parse_args(cmd)
    with named_errors("durations"):
        recogniser = Recogniser(args.exp, args.file)
        check_recogniser(recogniser, args.data_dir / "dev", args.exp, args.max_cer)
        hop = hop_of(args.config)
        for name in args.sets:
            align_set(recogniser, args.data_dir / name, hop)


def check_recogniser(recogniser: Recogniser, data: Path, exp: Path, most: float) -> None:
    """Score the recogniser on a set, and refuse one that does not know the voice.

    Raises:
        KDError: If its character error rate, in percent, is above ``most``.
    """
    audio, texts = read_table(data / "wav.scp"), read_table(data / "text")
    heard = {utt: recogniser.transcribe(soundfile.read(audio[utt])[0]) for utt in texts}
    found = error_rate(texts, heard, exp / "decoded" / data.name)
    print(f"{exp}: CER {found:.1f} % on {data}", file=sys.stderr)
    if found > most:
        raise KDError(
            f"{exp} writes {found:.1f} % of the characters of {data} wrong, which is too "
            "many to align by; train it for longer, or raise --max_cer"
        )


def hop_of(config: Path) -> int:
    """Read the samples between two frames of the mel spectrum from a tts config.

    Raises:
        KDError: If the config does not say.
    """
    settings = read_yaml(config, f"{config} cannot be read")
    features = settings.get("feats_extract_conf") if isinstance(settings, dict) else None
    hop = features.get("hop_length") if isinstance(features, dict) else None
    if not isinstance(hop, int) or hop < 1:
        raise KDError(f"{config} has no feats_extract_conf.hop_length; write it there")
    return hop


def align_set(recogniser: Recogniser, data: Path, hop: int) -> None:
    """Write the durations of one set.

    Raises:
        KDError: If a recording is too short for its sentence.
    """
    audio, texts = read_table(data / "wav.scp"), read_table(data / "text")
    durations, progress = {}, Progress(len(texts))
    for utt, text in texts.items():
        speech = soundfile.read(audio[utt])[0]
        first, last, frames = recogniser.align(speech, text)
        if first[0] < 0:
            raise KDError(
                f"{data}: the recording of {utt} is too short for its {len(first)} "
                "characters; take it out of the data"
            )
        found = durations_of(first, last, frames, mel_frames(len(speech), hop))
        durations[utt] = " ".join(map(str, found))
        progress.add()
    write_table(data / "durations", durations)


def mel_frames(samples: int, hop: int) -> int:
    """Count the frames of ESPnet's centred spectrum: one at every hop, one at the start."""
    return samples // hop + 1


def durations_of(
    first: Sequence[int], last: Sequence[int], frames: int, mel_frames: int
) -> list[int]:
    r"""Cut a spectrum between the characters of an alignment.

    Behind character :math:`u` it is cut at

    .. math:: \left\lfloor \frac{l_u + 1 + f_{u+1}}{2} \cdot \frac{M}{T} \right\rfloor

    where the end of the sentence stands at frame :math:`T`.

    Args:
        first: First frame :math:`f` of each character.
        last: Last frame :math:`l` of each.
        frames: Frames T of the alignment.
        mel_frames: Frames M of the spectrum.

    Returns:
        Frames of each character and of the end of the sentence, M in all; none of the
        characters is without a frame unless the spectrum has fewer than the alignment.
    """
    behind = [*first[1:], frames]
    ends = zip(last, behind, strict=True)
    cuts = [(end + 1 + next_) * mel_frames // (2 * frames) for end, next_ in ends]
    return [b - a for a, b in zip([0, *cuts], [*cuts, mel_frames], strict=True)]


if __name__ == "__main__":
    main()
