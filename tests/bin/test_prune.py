"""A smaller model that stock ESPnet loads and decodes; and what leaves no model."""

import subprocess
import sys

import pytest
import torch
import yaml
from conftest import INPUT_SIZE, asr_options, build_asr, clone, write_exp

from espnet_kd.bin.prune import main
from espnet_kd.config.schema import PruneConfig
from espnet_kd.host.compat import build_model, task_class
from espnet_kd.student.masks import Masks

BIG = {"width": 8, "blocks": 4, "decoder_blocks": 2}
# Load, decode and pack with the plugin unimportable.
STOCK = """
import sys
sys.modules['espnet_kd'] = None
import torch
from espnet2.bin.asr_inference import Speech2Text
from espnet2.bin.pack import main
exp, zipped = sys.argv[1:]
options = {'beam_size': 2, 'lm_weight': 0.0, 'maxlenratio': 0.3}
def hear(config, weights):
    torch.manual_seed(0)
    speech = torch.randn(60, %d)
    return Speech2Text(config, weights, **options)(speech)[0][2]
first = hear(f'{exp}/config.yaml', f'{exp}/pruned.pth')
main(['asr', '--asr_train_config', f'{exp}/config.yaml', '--asr_model_file',
      f'{exp}/pruned.pth', '--outpath', zipped])
from espnet2.main_funcs.pack_funcs import unpack
found = unpack(zipped, f'{exp}/unpacked')
assert hear(found['asr_train_config'], found['asr_model_file']) == first
print('heard')
"""


@pytest.fixture
def place(tmp_path):
    write_exp(tmp_path / "teacher", build_asr(1, **BIG), asr_options(**BIG))
    return tmp_path


def command(place, *changes, more=()):
    changes = [word for change in changes for word in ("--set", change)]
    where = ["--exp", str(place / "teacher"), "--output_dir", str(place / "out")]
    return [*where, *changes, *more]


def weights_of(place):
    return torch.load(place / "out" / "pruned.pth", weights_only=True)


def test_stock_espnet_loads_decodes_and_packs_it(place):
    cuts = ["encoder_conf.num_blocks=2", "encoder_conf.linear_units=8"]
    main(command(place, *cuts, "encoder_conf.output_size=4", "decoder_conf.num_blocks=1"))
    config = yaml.safe_load((place / "out" / "config.yaml").read_text())
    assert config["encoder_conf"]["num_blocks"] == 2
    shapes = {name: tuple(v.shape) for name, v in weights_of(place).items()}
    assert shapes["encoder.encoders.1.feed_forward.w_1.weight"] == (8, 4)
    assert not any(name.startswith("encoder.encoders.2") for name in shapes)
    heard = subprocess.run(
        [
            *(sys.executable, "-c", STOCK % INPUT_SIZE),
            *(str(place / "out"), str(place / "packed.zip")),
        ],
        capture_output=True,
        text=True,
    )
    assert heard.stdout.endswith("heard\n"), heard.stderr[-3000:]


def test_nothing_cut_is_the_whole_model(place):
    main(command(place, "encoder_conf.num_blocks=4"))
    whole = torch.load(place / "teacher" / "valid.acc.ave.pth", weights_only=True)
    assert all(torch.equal(value, whole[name]) for name, value in weights_of(place).items())
    table = (place / "out" / "pruned.md").read_text()
    size = sum(value.numel() for value in whole.values())
    assert f"{size:,} of {size:,} values come from the teacher. The whole" in table


def test_in_order_and_at_random(place):
    """The first hidden units in order; at random others, the same by seed."""
    name = "encoder.encoders.0.feed_forward.w_2.weight"
    whole = torch.load(place / "teacher" / "valid.acc.ave.pth", weights_only=True)[name]
    found = []
    for more in (["order"], ["random"], ["random"], ["random", "--seed", "1"]):
        options = ["--importance", *more]
        main(command(place, "encoder_conf.linear_units=4", more=options))
        found.append(weights_of(place)[name])
    assert torch.equal(found[0], whole[:, :4])
    assert torch.equal(found[1], found[2])
    assert not torch.equal(found[1], found[3])
    columns = [whole.T.tolist().index(column) for column in found[1].T.tolist()]
    assert columns == sorted(columns), "in the teacher's order"


@pytest.mark.parametrize(
    ("change", "text"),
    [
        ("encoder_conf.num_blocks=0", "leaves nothing; 1 is the least, 4 it is now"),
        ("encoder_conf.num_blocks=5", r"has 5 layers and the teacher's 4"),
        ("encoder_conf.linear_units=99", "linear_units: is 99, wider than"),
        ("encoder_conf.num_blok=1", "did you mean 'num_blocks'"),
        ("encodr_conf.num_blocks=1", "did you mean 'encoder_conf'"),
        ("encoder_conf.num_blocks=x", "'x' is no whole number"),
        ("encoder_conf.dropout_rate=1", "'dropout_rate' is no whole number"),
    ],
)
def test_what_leaves_no_model_is_refused(place, change, text):
    with pytest.raises(SystemExit, match=text):
        main(command(place, change))
    assert not (place / "out").exists()


def test_units_that_went_in_training_are_cut_without_a_change(tmp_path, batch):
    model = build_asr(1, **BIG)
    prune = PruneConfig(structure="units", sparsity=0.25, end=1, every=1)
    Masks(model, prune).step(1)
    write_exp(tmp_path / "teacher", model, asr_options(**BIG))
    cuts = ["encoder_conf.linear_units=12", "decoder_conf.linear_units=12"]
    main(command(tmp_path, *cuts))
    settings = yaml.safe_load((tmp_path / "out" / "config.yaml").read_text())
    small = build_model(task_class("asr"), settings)
    small.load_state_dict(weights_of(tmp_path))
    assert small.encoder.encoders[0].feed_forward.w_1.weight.shape == (12, 8)
    losses = []
    with torch.no_grad():
        for one in (model.eval(), small.eval()):
            losses.append(float(one(**clone(batch))[0]))
    assert losses[0] == pytest.approx(losses[1], rel=1e-6)


@pytest.mark.parametrize("how", [("--sparsity", "0.5"), ("--threshold", "0.1")])
def test_single_weights_by_part_or_magnitude(place, how, capsys):
    where = ["--exp", str(place / "teacher"), "--output_dir", str(place / "out")]
    main([*where, *how])
    whole = torch.load(place / "teacher" / "valid.acc.ave.pth", weights_only=True)
    found = weights_of(place)
    for name, value in whole.items():
        assert torch.equal(found[name][found[name] != 0], value[found[name] != 0])
    names = [n for n in found if n.endswith("weight") and found[n].dim() > 1]
    names.remove("decoder.embed.0.weight")
    values = torch.cat([found[n].flatten() for n in names])
    before = torch.cat([whole[n].flatten() for n in names])
    if how[0] == "--threshold":
        assert torch.equal(values != 0, before.abs() >= 0.1)
    else:
        assert (values == 0).float().mean() == pytest.approx(0.5, abs=0.02)
        assert values[values != 0].abs().min() >= before[values == 0].abs().max()
    assert f"{(values == 0).float().mean():.0%}"[:-2] in capsys.readouterr().out


def test_taking_everything_away_is_refused(place):
    where = ["--exp", str(place / "teacher"), "--output_dir", str(place / "out")]
    with pytest.raises(SystemExit, match="leaves no weight at all"):
        main([*where, "--threshold", "99"])
    with pytest.raises(SystemExit):
        main(where)
