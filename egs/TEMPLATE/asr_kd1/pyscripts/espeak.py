"""espeak-ng in process: text to samples, by the library that a Python wheel ships."""

import ctypes
from dataclasses import dataclass

import numpy as np

from espnet_kd.errors import KDError

SYNCHRONOUS = 2  # AUDIO_OUTPUT_SYNCHRONOUS: samples come by callback, nothing is played
RATE, PITCH, RANGE = 1, 3, 4  # espeak_PARAMETER
UTF8 = 1
DONT_EXIT = 0x8000  # espeakINITIALIZE_DONT_EXIT: what fails is told, not the process' end
CALLBACK = ctypes.CFUNCTYPE(
    ctypes.c_int, ctypes.POINTER(ctypes.c_short), ctypes.c_int, ctypes.c_void_p
)


@dataclass(frozen=True)
class Voice:
    """How a speaker sounds.

    Attributes:
        name: Language as espeak writes it: ``en-us``.
        pitch: 0 to 99.
        spread: Pitch range, 0 to 99.
        rate: Words a minute.
        tract: Length of the vocal tract relative to espeak's own, for who resamples.
    """

    name: str
    pitch: int
    spread: int
    rate: int
    tract: float = 1.0


class Espeak:
    """One synthesiser; the library allows one a process."""

    def __init__(self) -> None:
        import espeakng_loader

        self._library = ctypes.CDLL(espeakng_loader.get_library_path())
        self._samples: list[np.ndarray] = []
        self._callback = CALLBACK(self._collect)  # kept alive: C holds only a pointer
        folder = str(espeakng_loader.get_data_path()).encode()
        self.sample_rate = self._library.espeak_Initialize(
            SYNCHRONOUS, 0, folder, DONT_EXIT
        )
        if self.sample_rate <= 0:
            raise KDError(
                f"espeak-ng does not start from {folder.decode()}; install the package "
                "espeakng-loader anew"
            )
        self._library.espeak_SetSynthCallback(self._callback)

    def speak(self, text: str, voice: Voice, seed: int = 0) -> np.ndarray:
        """Samples of a spoken text, float32 in [-1, 1], at ``sample_rate``."""
        # Breath noise is the C library's rand(), which espeak seeds by the clock.
        ctypes.CDLL(None).srand(seed)
        if self._library.espeak_SetVoiceByName(voice.name.encode()) != 0:
            raise KDError(
                f"espeak-ng has no voice '{voice.name}'; install the package "
                "espeakng-loader anew"
            )
        for parameter, value in (
            (RATE, int(voice.rate * voice.tract)),
            (PITCH, voice.pitch),
            (RANGE, voice.spread),
        ):
            self._library.espeak_SetParameter(parameter, value, 0)
        self._samples = []
        data = text.encode()
        self._library.espeak_Synth(data, len(data) + 1, 0, 0, 0, UTF8, None, None)
        self._library.espeak_Synchronize()
        return np.concatenate(self._samples).astype(np.float32) / 32768

    def _collect(
        self, samples: "ctypes._Pointer[ctypes.c_short]", count: int, _events: int | None
    ) -> int:
        if samples and count > 0:
            self._samples.append(np.ctypeslib.as_array(samples, (count,)).copy())
        return 0
