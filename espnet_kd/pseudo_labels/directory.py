"""A Kaldi data directory of what a teacher transcribed."""

import json
from collections.abc import Sequence
from dataclasses import asdict
from math import isfinite
from pathlib import Path
from typing import Any

from espnet_kd.alignment.words import word_error_rate
from espnet_kd.errors import KDError
from espnet_kd.host.files import whole_file
from espnet_kd.host.kaldi_dir import read_table, write_speakers, write_table
from espnet_kd.pseudo_labels.hypotheses import Decoded
from espnet_kd.pseudo_labels.select import Limits, Selection, name_of, select

# Tables that are keyed by utterance; other files of a data directory are not copied.
TABLES = (
    *("wav.scp", "feats.scp", "utt2num_samples", "utt2num_frames", "utt2dur"),
    *("feats_shape", "speech_shape"),
)


def audio_of(data_dir: Path, takes_features: bool) -> tuple[Path, str]:
    """Find the table of audio that a model takes, and its type as ESPnet calls it.

    Args:
        data_dir: The data directory.
        takes_features: Whether the model takes features, not waveforms.

    Raises:
        KDError: If it is not there, or tells of segments of longer recordings.
    """
    name, kind = ("feats.scp", "kaldi_ark") if takes_features else ("wav.scp", "sound")
    if not (data_dir / name).is_file():
        what = "features" if takes_features else "audio"
        raise KDError(f"{data_dir} has no {name}, and this teacher takes {what}")
    if (data_dir / "segments").exists() and not takes_features:
        raise KDError(
            f"{data_dir} has segments of longer recordings; let the recipe cut them "
            "first (stage 3 of asr.sh), and name the directory in dump/"
        )
    return data_dir / name, kind


def write_labels(
    data_dir: Path,
    output_dir: Path,
    everything: Sequence[Decoded],
    limits: Limits,
    reference: Path | None,
    settings: dict[str, Any],
) -> dict[str, Any]:
    """Write the tables of what is kept, the table ``dropped``, and ``report.json``.

    Args:
        data_dir: The data directory that was transcribed.
        output_dir: The data directory to write.
        everything: The decoded utterances.
        limits: What a hypothesis must meet.
        reference: Table of transcripts, where there is one.
        settings: The teacher and its search, for the report.

    Returns:
        What ``report.json`` holds.

    Raises:
        KDError: If nothing is kept.
    """
    references = read_table(reference) if reference is not None else {}
    chosen = select(everything, limits, references)
    report = _report(chosen, limits) | {"teacher": settings}
    (output_dir / "text").unlink(missing_ok=True)  # a run with other limits left it
    with whole_file(output_dir / "report.json") as file:
        json.dump(report, file, indent=1)
    write_table(output_dir / "dropped", chosen.dropped)
    if not chosen.kept:
        counts = ", ".join(f"{n} {reason}" for reason, n in chosen.reasons.items())
        raise KDError(
            f"nothing is left of {data_dir} ({counts}); loosen the limits, or see "
            f"what was dropped: {output_dir}/dropped"
        )
    origins = {name_of(d.utt, n): d.utt for d in everything for n in range(len(d.nbest))}
    _copy_tables(data_dir, output_dir, {name: origins[name] for name in chosen.kept})
    write_table(output_dir / "text", chosen.kept)  # last: it says that all is there
    return report


def _report(chosen: Selection, limits: Limits) -> dict[str, Any]:
    report: dict[str, Any] = {
        "hypotheses": len(chosen.kept) + len(chosen.dropped),
        "kept": len(chosen.kept),
        "dropped": chosen.reasons,
        "limits": {k: v for k, v in asdict(limits).items() if isfinite(v)},
    }
    if chosen.pairs:
        report["wer"] = round(word_error_rate(chosen.pairs), 3)
        report["wer_kept"] = round(word_error_rate(chosen.kept_pairs), 3)
    return report


def _copy_tables(source: Path, target: Path, origins: dict[str, str]) -> None:
    """Copy what is told of each utterance to every name that it is kept under."""
    for name in TABLES:
        if (source / name).is_file():
            table = read_table(source / name)
            if missing := set(origins.values()) - table.keys():
                raise KDError(f"{source / name} lacks '{min(missing)}', which was decoded")
            write_table(target / name, {new: table[old] for new, old in origins.items()})
    speakers = source / "utt2spk"
    known = read_table(speakers) if speakers.is_file() else {}
    write_speakers(target, {new: known.get(old, old) for new, old in origins.items()})
