"""A teacher's frames at the student's, by hand-counted frames."""

import pytest
import torch
from espnet2.asr.encoder.conformer_encoder import ConformerEncoder

from espnet_kd.alignment.frames import (
    SLACK,
    at_student_frames,
    bridge_frames,
    check_frame_counts,
    compared_lens,
    frames_of_spans,
)
from espnet_kd.errors import AlignmentError


def ramp(frames: int) -> torch.Tensor:
    """One utterance whose frame i holds the value i."""
    return torch.arange(frames, dtype=torch.float32)[None, :, None]


def bridged(teacher: torch.Tensor, wanted: int, **options) -> list[float]:
    out = bridge_batch(teacher, [wanted], [teacher.shape[1]], **options)
    return out[0, :, 0].tolist()


def bridge_batch(
    teacher: torch.Tensor, student_lens: list[int], teacher_lens: list[int], **options
) -> torch.Tensor:
    lens = {
        "student_lens": torch.tensor(student_lens),
        "teacher_lens": torch.tensor(teacher_lens),
    }
    return bridge_frames(teacher, **lens, **options)


def test_equal_counts_change_nothing():
    assert bridged(ramp(5), 5) == [0, 1, 2, 3, 4]


def test_one_frame_of_difference_is_an_edge_not_a_rate():
    assert bridged(ramp(5), 4) == [0, 1, 2, 3]
    assert bridged(ramp(4), 5) == [0, 1, 2, 3, 3]


def test_two_frames_are_an_edge_of_a_long_utterance_and_a_rate_of_a_short_one():
    # ESPnet's subsampling by four: 37 features are 8 frames alone and 10 in a batch
    assert bridged(ramp(8), 10) == [0, 1, 2, 3, 4, 5, 6, 7, 7, 7]
    assert bridged(ramp(10), 8) == [0, 1, 2, 3, 4, 5, 6, 7]
    assert bridged(ramp(2), 4) == [0, 0, 1, 1]
    # by six and by eight: student frame i is of the span [4 i / 3, 4 (i + 1) / 3)
    assert bridged(ramp(16), 12)[:4] == [0.5, 1.5, 2.5, 4.5]


def test_integer_ratio_averages_its_frames():
    # spans [0,2) [2,4) [4,6)
    assert bridged(ramp(6), 3) == [0.5, 2.5, 4.5]


def test_non_integer_ratio_averages_the_frames_it_touches():
    # R = 1.5: spans [0,1.5) [1.5,3) [3,4.5) [4.5,6) touch 0-1, 1-2, 3-4, 4-5
    assert bridged(ramp(6), 4) == [0.5, 1.5, 3.5, 4.5]


def test_a_slower_teacher_is_repeated():
    assert bridged(ramp(3), 6) == [0, 0, 1, 1, 2, 2]


def test_spike_keeps_the_least_blank_frame():
    # blank is class 0; frames 1 and 4 are spikes, on an odd and an even place
    logits = torch.tensor([[[9.0, 0], [0, 9.0], [9.0, 0], [9.0, 0], [0, 9.0], [9.0, 0]]])
    out = bridge_batch(logits, [3], [6], how="spike")
    assert out.argmax(-1).tolist() == [[1, 0, 1]]


def test_padding_is_zero_and_its_content_never_read():
    teacher = ramp(6).repeat(2, 1, 1)
    teacher[1, 4:] = float("nan")
    out = bridge_batch(teacher, [3, 2], [6, 4])
    assert out[..., 0].tolist() == [[0.5, 2.5, 4.5], [0.5, 2.5, 0]]


@pytest.mark.parametrize(
    ("student_lens", "teacher_lens"),
    [([10], [90]), ([90], [10]), ([0], [4]), ([4], [0]), ([40, 10], [40, 40])],
)
def test_counts_that_cannot_be_bridged_are_refused(student_lens, teacher_lens):
    teacher = torch.zeros(len(teacher_lens), max(teacher_lens), 2)
    with pytest.raises(AlignmentError, match=r"cannot be bridged.*same audio"):
        bridge_batch(teacher, student_lens, teacher_lens)


def test_the_utterance_that_does_not_fit_is_named_with_both_counts():
    # ratio 80 / 50: of 10 frames, 16 were due
    with pytest.raises(AlignmentError) as caught:
        check_frame_counts(
            student_lens=torch.tensor([40, 10]), teacher_lens=torch.tensor([40, 40])
        )
    text = "utterance 1 of the batch has 10 student frames and 40 teacher frames"
    assert str(caught.value).startswith(text)
    assert "ratio of teacher to student frames is 1.6" in str(caught.value)


def test_an_empty_utterance_fits_an_empty_one_and_an_empty_batch_itself():
    out = bridge_batch(torch.ones(2, 3, 1), [2, 0], [2, 0])
    assert out[..., 0].tolist() == [[1, 1], [0, 0]]
    assert bridge_batch(torch.zeros(0, 3, 1), [], []).shape == (0, 0, 1)


def test_frames_of_equal_counts_are_the_teachers_own_tensor():
    teacher = ramp(5)
    same = at_student_frames(
        teacher, student_lens=torch.tensor([4]), teacher_lens=torch.tensor([4])
    )
    assert same.data_ptr() == teacher.data_ptr()
    assert same[0, :, 0].tolist() == [0, 1, 2, 3]
    apart = at_student_frames(
        teacher, student_lens=torch.tensor([2]), teacher_lens=torch.tensor([4])
    )
    # spans [0, 2) and [2, 4)
    assert apart[0, :, 0].tolist() == [0.5, 2.5]


@pytest.mark.parametrize("layer", ["conv2d1", "conv2d2", "conv2d", "conv2d6", "conv2d8"])
def test_padding_costs_espnets_subsampling_few_frames_and_no_rate(layer):
    encoder = ConformerEncoder(16, output_size=8, num_blocks=1, input_layer=layer)
    alone = [encoder(torch.zeros(1, t, 16), torch.tensor([t]))[1] for t in range(80, 104)]
    lens = torch.arange(80, 104)
    padded = encoder(torch.zeros(25, 130, 16), torch.cat([lens, torch.tensor([130])]))[1]
    apart = padded[:-1] - torch.cat(alone)
    assert 0 <= int(apart.min()) <= int(apart.max()) <= SLACK
    for frames, wanted in zip(torch.cat(alone).tolist(), padded.tolist(), strict=False):
        assert bridged(ramp(frames), wanted)[:frames] == list(range(frames))


def test_frames_that_only_padding_made_are_compared_with_nothing():
    """One rate: the smaller count. Twelve and sixteen, or twice as many, are two rates."""
    student = torch.tensor([12, 14, 10, 12, 24, 3])
    teacher = torch.tensor([12, 12, 12, 16, 12, 4])
    assert compared_lens(student, teacher).tolist() == [12, 12, 10, 12, 24, 3]


def test_frames_of_a_span_stand_side_by_side():
    """Four frames for two, three for one; padding has none; of one rate each is alone."""
    codes = torch.tensor([[[1], [2], [3], [4]], [[5], [6], [7], [0]]])
    found = frames_of_spans(
        codes, student_lens=torch.tensor([2, 1]), teacher_lens=torch.tensor([4, 3])
    )
    assert found[0, ..., 0].tolist() == [[1, 2, -1], [3, 4, -1]]
    assert found[1, ..., 0].tolist() == [[5, 6, 7], [-1, -1, -1]]
    same = frames_of_spans(
        codes, student_lens=torch.tensor([4, 3]), teacher_lens=torch.tensor([4, 3])
    )
    assert same[..., 0].tolist() == [[[1], [2], [3], [4]], [[5], [6], [7], [-1]]]
