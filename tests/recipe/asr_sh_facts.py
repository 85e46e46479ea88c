"""What this package relies on of ESPnet's own asr.sh."""

import re
from pathlib import Path

# Each fact, and how often asr.sh of 202611 says it at least.
FACTS = {
    "it reads --python and --asr_args into variables of their names": (
        r"^(python|asr_args|lm_args)=",
        3,
    ),
    "stages 10 and 11 run the training by ${python}, after which -m and a module come": (
        r"^ +\$\{python\} -m espnet2\.bin\.\$\{asr_task\}_train \\$",
        2,
    ),
    "asr_args stand last and unquoted in both, so that the shell splits them": (
        r"^ +\$\{_opts\} \$\{asr_args\}( \|\||$)",
        2,
    ),
    "stage 10 collects statistics with the same arguments": (
        r"--collect_stats true \\$",
        2,
    ),
    "a failing stage 10 shows the logs in which there is the word error": (
        r"\$\{asr_args\} \|\| \{ cat \$\(grep -l -i error ",
        1,
    ),
    "language models are trained by the same ${python}": (
        r"^ +\$\{python\} -m espnet2\.bin\.lm_train \\$",
        2,
    ),
    "so are trainings launched": (r"^ +\$\{python\} -m espnet2\.bin\.launch \\$", 2),
    "and models are decoded": (
        r"^ +\$\{python\} -m espnet2\.bin\.\$\{asr_task\}_inference",
        1,
    ),
    "without a tag asr_args name the experiment, without blanks, bars, = and /": (
        r'asr_tag\+="\$\(echo "\$\{asr_args\}" \| sed -e "s/--/\\_/g" '
        r'-e "s/\[ \|=/\]//g"\)"',
        1,
    ),
}


def times_said(fact: str, path: Path) -> int:
    """How often an asr.sh says one of the facts."""
    return len(re.findall(FACTS[fact][0], path.read_text(), re.MULTILINE))
