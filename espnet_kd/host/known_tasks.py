"""ESPnet's tasks: those that distil, and why the others do not."""

# Task name -> (module, class) of the stock task; tasks.variants has KDclass of each.
TASKS = {
    "asr": ("espnet2.tasks.asr", "ASRTask"),
    "asr_transducer": ("espnet2.tasks.asr_transducer", "ASRTransducerTask"),
    "st": ("espnet2.tasks.st", "STTask"),
    "s2t": ("espnet2.tasks.s2t", "S2TTask"),
    "slu": ("espnet2.tasks.slu", "SLUTask"),
    "mt": ("espnet2.tasks.mt", "MTTask"),
    "lm": ("espnet2.tasks.lm", "LMTask"),
    "tts": ("espnet2.tasks.tts", "TTSTask"),
    "svs": ("espnet2.tasks.svs", "SVSTask"),
    "enh": ("espnet2.tasks.enh", "EnhancementTask"),
    "spk": ("espnet2.tasks.spk", "SpeakerTask"),
    "diar": ("espnet2.tasks.diar", "DiarizationTask"),
    "cls": ("espnet2.tasks.cls", "CLSTask"),
}
# Tasks whose teacher is asked by parts, so that what it says may be cached.
BY_PARTS = ("asr", "asr_transducer", "st", "s2t", "slu")
# ESPnet's module that trains a task -> the task's name.
TRAININGS = {f"espnet2.bin.{name}_train": name for name in TASKS}

TURNS = (
    "its generator and its discriminator take turns, and a teacher has nothing to say in "
    "the discriminator's"
)
MASKED = (
    "its pre-training masks frames at random, other ones of the teacher's than of the "
    "student's"
)
# ESPnet's module that trains -> why it has no distillation, and what there is instead.
REFUSED = {
    "gan_tts_train": f"{TURNS}; distil an acoustic model by tts_train",
    "gan_svs_train": f"{TURNS}; distil an acoustic model by svs_train",
    "gan_codec_train": TURNS,
    "rst_vocoder_train": TURNS,
    "uasr_train": TURNS,
    "ssl_train": f"{MASKED}; distil the model that was tuned, by asr_train",
    "hubert_train": f"{MASKED}; distil the model that was tuned, by asr_train",
    "beats_train": f"{MASKED}; distil the model that was tuned, by cls_train",
    "beats_tokenizer_train": "its tokenizer learns from a teacher of its own already",
    "enh_s2t_train": (
        "it trains two models as one; distil each by itself, by enh_train and asr_train"
    ),
    "asvspoof_train": (
        "ESPnet leaves its decoder to be written by its users; write the model as a "
        "classifier of two classes, and distil it by cls_train"
    ),
    "s2t_train_ctc": (
        "its encoder is prompted in its layers, which a teacher cannot be asked by parts; "
        "distil an encoder-decoder by s2t_train"
    ),
    "enh_tse_train": (
        "its model is told whom to extract in a way that is not known here; distil a "
        "separator by enh_train"
    ),
    "lid_train": (
        "its trainer was not tried with a teacher; models of its kind are distilled by "
        "spk_train"
    ),
    "s2st_train": (
        "it trains several decoders and a synthesiser as one; distil each kind by itself, "
        "by st_train and tts_train"
    ),
    "tts2_train": (
        "the discrete speech that it predicts is compared by no loss here; distil an "
        "acoustic model by tts_train"
    ),
    "aqa_train": "the measures of quality that it predicts are compared by no loss here",
    "rst_train": (
        "the features that it restores are compared by no loss here; distil an enhancer by "
        "enh_train"
    ),
}
