"""What draws have found: each defect as the smallest draw that still shows it."""

from dataclasses import dataclass

from pairs.draw import Draw


@dataclass(frozen=True)
class Known:
    """A defect that is waiting to be mended.

    Attributes:
        draw: The smallest that shows it.
        meets: Names or axes of settings, of losses and targets, of which a draw has all
            if it meets the defect.
        reason: What goes wrong.
    """

    draw: str
    meets: tuple[str, ...]
    reason: str

    def meets_in(self, draw: Draw) -> bool:
        """Whether a draw would only show it again."""
        said = {*str(draw).split(), *(setting.axis for setting in draw.settings)}
        return said >= set(self.meets)


KNOWN: tuple[Known, ...] = ()
# Mended: each of these went wrong once, and trains now or is refused by this sentence.
MENDED = {
    # Pruning looked for frozen parameters before ESPnet freezes them.
    "ctc_frame_kl live prune_weights freeze_decoder": "trained",
    # A layer whose weights are all frozen has no scores.
    "ctc_frame_kl live prune_units freeze_encoder": "trained",
    # Biases that begin at zero were taken for pruned.
    "ctc_frame_kl live xavier prune_units": "trained",
    # loss_task shared its memory with the loss, which ESPnet divides by accum_grad.
    "ctc_frame_kl live accum_3 observed": "trained",
    # ESPnet's batched search on a decoder that scores one hypothesis at a time.
    "token_nbest live teacher_rnn_decoder": "trained",
    # torch packs an RNN's utterances by falling length only.
    "cr_ctc live rnn": "takes utterances by falling length",
    "ctc_frame_kl live teacher_rnn": "its recurrent encoder takes the",
    # What a teacher cannot take was torch's error about two matrices.
    "ctc_frame_kl live teacher_other_features": "it cannot take the student's",
    # A front end took features for channels of audio.
    "token_kl live teacher_of_audio": "it takes audio, and the student is",
    # Layers over blocks of an utterance have more rows than utterances.
    "attention_kl live streaming": "gives 12 rows for 1 utterance(s)",
    "relation_kl live streaming": "gives 12 rows for 1 utterance(s)",
    # torchao's fake quantizer asserts its precision.
    "ctc_frame_kl live int8 float64": "and the model is float64",
}
