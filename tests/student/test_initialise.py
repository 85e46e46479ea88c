"""A student made from its teacher: the same at ratio 1, by hand where it is narrower."""

import pytest
import torch
from conftest import ENCODER, build_asr, clone
from families import DECODERS, HEADS, HIDDEN, KINDS, build, embedding, lattice, losses

from espnet_kd.errors import ConfigError
from espnet_kd.student.axes import Axes
from espnet_kd.student.importance import activation, taylor, weight_norm
from espnet_kd.student.initialise import Initialiser, summary
from espnet_kd.student.wider import Shape


def heads(encoder=HEADS, decoder=2):
    return Shape({"encoder": encoder, "decoder": decoder})


def made(teacher, student, layers=None, importance=None, shapes=None):
    """The student, made from the teacher; and where its parameters came from."""
    weights = teacher.state_dict()
    importance = importance or weight_norm(teacher, Axes(weights))
    layers = {"encoder": range(2), "decoder": range(1)} | (layers or {})
    student_shape, teacher_shape = shapes or (heads(), heads())
    make = Initialiser(weights, importance, layers, student_shape, teacher_shape)
    state, origins = make(student.state_dict())
    student.load_state_dict(state)
    return origins


@pytest.mark.parametrize("decoder", DECODERS)
@pytest.mark.parametrize("kind", KINDS)
def test_of_the_teachers_shape_it_is_the_teacher(kind, decoder, batch):
    teacher, student = (build(kind, seed, decoder=decoder) for seed in (1, 2))
    origins = made(teacher, student)
    assert {origin.how for origin in origins} == {"copied"}
    assert all(origin.source == origin.name for origin in origins)
    expected = teacher.state_dict()
    for name, value in student.state_dict().items():
        assert torch.equal(value, expected[name]), name
    torch.testing.assert_close(losses(student, batch), losses(teacher, batch))


def streaming(kind, **changes):
    """A student over blocks, wide enough for a short utterance to be one of them."""
    conf = ENCODER | KINDS[kind] | {"output_size": 8, "num_blocks": 2}
    conf |= {"linear_units": HIDDEN, "attention_heads": HEADS}
    conf |= {"block_size": 32, "hop_size": 16, "look_ahead": 8}
    # Blocks know absolute positions alone.
    offline = ("rel_pos_type", "pos_enc_layer_type", "selfattention_layer_type")
    conf = {k: v for k, v in conf.items() if k not in offline} | changes
    return build_asr(2, encoder=f"contextual_block_{kind}", encoder_conf=conf).eval()


def test_a_streaming_student_hears_a_short_utterance_as_its_teacher(batch):
    """What fits into one block is encoded with its whole context, by the same layers."""
    teacher, student = build("transformer"), streaming("transformer")
    assert {origin.how for origin in made(teacher, student)} == {"copied"}
    torch.testing.assert_close(losses(student, batch), losses(teacher, batch))


def test_a_streaming_conformer_has_all_but_relative_positions():
    teacher, student = build("conformer"), streaming("conformer")
    origins = made(teacher, student)
    assert {origin.how for origin in origins} == {"copied"}
    for layer, source in zip(
        student.encoder.encoders, teacher.encoder.encoders, strict=True
    ):
        assert torch.equal(layer.norm1.weight, source.norm_mha.weight)
        assert torch.equal(layer.norm2.bias, source.norm_ff.bias)
    left = teacher.state_dict().keys() - {origin.source for origin in origins}
    assert all("linear_pos" in name or "pos_bias" in name for name in left)


def test_a_narrower_streaming_conformer_keeps_units_of_one_stream():
    teacher = build("conformer")
    with torch.no_grad():
        for layer in teacher.encoder.encoders:
            layer.norm_mha.weight.copy_(torch.arange(8.0))
    student = streaming("conformer", output_size=4)
    importance = weight_norm(teacher, Axes(teacher.state_dict()))
    importance["encoder.stream"] = torch.tensor([0, 9, 9, 0, 0, 9, 9, 0.0])
    made(teacher, student, importance=importance)
    assert student.encoder.encoders[1].norm1.weight.tolist() == [1, 2, 5, 6]


def test_layers_are_where_the_map_says():
    teacher, student = build(blocks=4), build(seed=2, blocks=2)
    made(teacher, student, {"encoder": [1, 3]})
    for layer, source in ((0, 1), (1, 3)):
        found = student.encoder.encoders[layer].state_dict()
        expected = teacher.encoder.encoders[source].state_dict()
        assert all(torch.equal(found[name], expected[name]) for name in expected)


@pytest.mark.parametrize("decoder", ["rnn", "stateless"])
def test_a_transducer_of_blocks_of_the_teachers_shape_is_the_teacher(decoder, batch):
    (teacher, _), (student, _) = (lattice(seed, decoder=decoder) for seed in (1, 2))
    assert {origin.how for origin in made(teacher, student)} == {"copied"}
    torch.testing.assert_close(losses(student, batch), losses(teacher, batch))


def test_a_narrower_transducer_of_blocks_has_units_of_one_stream():
    teacher, _ = lattice(blocks=3)
    with torch.no_grad():
        for layer in (*teacher.encoder.encoders.blocks, teacher.encoder.encoders):
            norm = getattr(layer, "norm_final", None) or layer.norm_blocks
            norm.weight.copy_(torch.arange(8.0))
    student, _ = lattice(2, hidden_size=4, linear_size=8, chunks=True)
    importance = weight_norm(teacher, Axes(teacher.state_dict()))
    importance["encoder.stream"] = torch.tensor([0, 9, 9, 0, 0, 9, 9, 0.0])
    origins = made(teacher, student, {"encoder": [0, 2]}, importance)
    assert all(origin.source for origin in origins)
    blocks = student.encoder.encoders
    for norm in (blocks.blocks[0].norm_final, blocks.blocks[1].norm_final):
        assert norm.weight.tolist() == [1, 2, 5, 6]
    assert blocks.norm_blocks.weight.tolist() == [1, 2, 5, 6]
    # ESPnet multiplies what this embedding gives by nothing: it is cut and not scaled.
    rows, whole = student.encoder.embed.output, teacher.encoder.embed.output
    assert torch.equal(rows.bias, whole.bias[[1, 2, 5, 6]])
    # Units of CTC and of the joint that read the same stream.
    assert torch.equal(student.ctc_lin.weight, teacher.ctc_lin.weight[:, [1, 2, 5, 6]])


@pytest.mark.parametrize(
    ("length", "kept"),
    [(5, [0, 0, 1, 2, 3]), (3, [1, 2, 3]), (1, [3]), (7, [0, 0, 0, 0, 1, 2, 3])],
)
def test_a_kernel_that_hears_the_past_alone_keeps_the_present_where_it_is(length, kept):
    """Of 1 to 5 around the present, which is 3: its last place in a causal kernel."""
    (teacher, _), (student, _) = lattice(kernel=5), lattice(2, chunks=True, kernel=length)
    with torch.no_grad():
        for block in teacher.encoder.encoders.blocks:
            block.conv_mod.depthwise_conv.weight[:] = torch.arange(1.0, 6)
    shapes = (Shape({"encoder": HEADS}, is_causal=True), Shape({"encoder": HEADS}))
    origins = made(teacher, student, shapes=shapes)
    for block in student.encoder.encoders.blocks:
        kernel = block.conv_mod.depthwise_conv.weight
        assert all(channel.flatten().tolist() == kept for channel in kernel)
    changed = {origin.name for origin in origins if origin.how == "cut"}
    assert changed
    assert all(name.endswith(".conv_mod.depthwise_conv.weight") for name in changed)
    # Between two of a kind nothing is turned.
    same = made(teacher, lattice(3, kernel=5)[0])
    assert {origin.how for origin in same} == {"copied"}


def test_a_wider_transducer_of_blocks_is_refused_by_its_own_settings():
    student, teacher = lattice(hidden_size=12, linear_size=24)[0], lattice(2)[0]
    with pytest.raises(ConfigError) as refused:
        made(teacher, student, shapes=(heads(encoder=3), heads()))
    body = "encoder_conf.body_conf"
    expected = {
        f"{body}.hidden_size: is 12, wider than the teacher's 8; 8 is the most",
        f"{body}.linear_size: is 24, wider than the teacher's 16; 16 is the most",
        f"{body}.heads: is 3, more than the teacher's 2; 2 is the most",
    }
    assert all(text in str(refused.value) for text in expected)


def kill(teacher, kind):
    """Silence half the units of each inner width, so that a narrower model can do all."""
    with torch.no_grad():
        for layer in teacher.encoder.encoders:
            parts = [layer.feed_forward]
            parts += [getattr(layer, "feed_forward_macaron", None) or layer.feed_forward]
            for part in parts:
                dead = torch.arange(0, HIDDEN, 2)
                part.w_1.weight[dead] = 0
                part.w_1.bias[dead] = 0
                part.w_2.weight[:, dead] = 0


@pytest.mark.parametrize("how", ["norm", "activation", "taylor"])
@pytest.mark.parametrize("kind", KINDS)
def test_dead_units_are_the_ones_left_out(kind, how, batch):
    """Half the hidden units do nothing; a student of half the units does the same."""
    teacher = build(kind)
    kill(teacher, kind)
    axes = Axes(teacher.state_dict())
    importance = {
        "norm": lambda: weight_norm(teacher, axes),
        "activation": lambda: activation(teacher, axes, [clone(batch)]),
        "taylor": lambda: taylor(teacher, axes, [clone(batch)]),
    }[how]()
    student = build(kind, seed=2, linear_units=HIDDEN // 2)
    origins = made(teacher, student, importance=importance)
    assert "cut" in {origin.how for origin in origins}
    torch.testing.assert_close(losses(student, batch), losses(teacher, batch))
    assert all(p.grad is None for p in teacher.parameters())


def test_a_dead_head_is_the_one_left_out(batch):
    """The third of four heads says nothing; attention of three heads says the same."""
    width = 12
    teacher = build(output_size=width, attention_heads=4, linear_units=HIDDEN)
    with torch.no_grad():
        for layer in teacher.encoder.encoders:
            attention, dead = layer.self_attn, slice(6, 9)
            for name in ("linear_q", "linear_k", "linear_v"):
                getattr(attention, name).weight[dead] = 0
                getattr(attention, name).bias[dead] = 0
            attention.linear_out.weight[:, dead] = 0
    weights = teacher.state_dict()
    importance = weight_norm(teacher, Axes(weights))
    layers = {"encoder": range(2), "decoder": [0]}
    make = Initialiser(weights, importance, layers, heads(3), heads(4))
    units = make._head_units(
        "encoder.encoders.0.self_attn.v", "encoder.encoders.0.self_attn.v", 9, 12
    )
    assert units.tolist() == [0, 1, 2, 3, 4, 5, 9, 10, 11]


def test_the_residual_stream_is_one_choice_everywhere():
    """Units 1, 2, 5, 6 matter; every part that reads or writes the stream keeps them."""
    teacher, student = build(), build(seed=2, output_size=4)
    importance = weight_norm(teacher, Axes(teacher.state_dict()))
    importance["encoder.stream"] = torch.tensor([0, 9, 9, 0, 0, 9, 9, 0.0])
    made(teacher, student, importance=importance)
    kept = [1, 2, 5, 6]
    for get in (
        lambda m: m.encoder.after_norm.weight,
        lambda m: m.encoder.encoders[1].norm1.bias,
        lambda m: m.encoder.encoders[0].feed_forward.w_2.bias,
    ):
        assert torch.equal(get(student), get(teacher)[kept])
    assert torch.equal(student.ctc.ctc_lo.weight, teacher.ctc.ctc_lo.weight[:, kept])
    # ESPnet multiplies the embedding by the root of the width: what it makes stays.
    found, whole = (embedding(model).bias for model in (student, teacher))
    torch.testing.assert_close(found * 4**0.5, whole[kept] * 8**0.5)


def test_a_linear_input_layer_is_scaled_behind_its_normalisation():
    teacher = build(input_layer="linear")
    student = build(seed=2, input_layer="linear", output_size=4)
    importance = weight_norm(teacher, Axes(teacher.state_dict()))
    importance["encoder.stream"] = torch.tensor([0, 9, 9, 0, 0, 9, 9, 0.0])
    made(teacher, student, importance=importance)
    linear, norm = (
        [m.encoder.embed[place].weight for m in (student, teacher)] for place in (0, 1)
    )
    assert torch.equal(linear[0], linear[1][[1, 2, 5, 6]])
    torch.testing.assert_close(norm[0] * 4**0.5, norm[1][[1, 2, 5, 6]] * 8**0.5)


def test_positions_keep_their_frequencies():
    """Half the width: every second sinusoid of the teacher is one of the student's."""
    from espnet_kd.student.initialise import _frequencies

    assert _frequencies(4, 8).tolist() == [0, 1, 4, 5]
    teacher, student = build("conformer"), build("conformer", seed=2, output_size=4)
    tables = []
    for model in (teacher, student):
        modules = model.encoder.embed.modules()
        encoding = next(module for module in modules if hasattr(module, "extend_pe"))
        encoding.extend_pe(torch.zeros(1, 20, 1))
        tables.append(encoding.pe[0, :39])
    torch.testing.assert_close(tables[1], tables[0][:, _frequencies(4, 8)])


def test_what_the_teacher_has_not_stays_random_and_is_told():
    teacher, student = build(), build(seed=2, input_layer="conv2d6")
    before = embedding(student).weight.clone()
    origins = made(teacher, student)
    table = summary(origins)
    assert "| encoder.embed | random | of another shape |" in table
    assert "| ctc.ctc_lo | ctc.ctc_lo | copied |" in table
    assert torch.equal(embedding(student).weight, before)
    taken = sum(o.size for o in origins if o.source)
    assert f"{taken:,} of {sum(o.size for o in origins):,} values" in table


def test_longer_kernels_keep_their_middle():
    teacher = build("conformer")
    student = build("conformer", seed=2, cnn_module_kernel=5)
    made(teacher, student)
    found, whole = (
        m.encoder.encoders[0].conv_module.depthwise_conv.weight for m in (student, teacher)
    )
    assert torch.equal(found, whole[:, :, 1:6])


@pytest.mark.parametrize(
    ("change", "shapes", "text"),
    [
        ({"output_size": 12}, None, r"encoder_conf.output_size: is 12, wider .* 8 is the"),
        ({"linear_units": 20}, None, r"encoder_conf.linear_units: is 20, wider .* 16"),
        ({"attention_heads": 4}, (heads(4), heads()), r"attention_heads: is 4, more than"),
        (
            {"attention_heads": 1},
            (heads(1), heads()),
            r"heads of 8 dim.*attention_heads: 2",
        ),
    ],
)
def test_a_student_beyond_its_teacher_is_refused(change, shapes, text):
    teacher, student = build(), build(seed=2, **change)
    with pytest.raises(ConfigError, match=text):
        made(teacher, student, shapes=shapes)
