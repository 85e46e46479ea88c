"""Every loss against an independent, slow reference: loops, and enumeration of paths.

The references share nothing with the losses but the formulas of the papers. Values and
gradients agree to 1e-9 in float64.
"""

import itertools
import math

import pytest
import torch

from espnet_kd import losses as kd
from espnet_kd.alignment.ctc_lattice import label_occupancies
from espnet_kd.alignment.transducer_lattice import collapse, next_labels, node_mask, spread
from espnet_kd.alignment.transducer_paths import best_path
from espnet_kd.model.outputs import NBest, Path

B, T, V = 3, 5, 4
LENGTHS = [5, 4, 2]
LABELS = [[1, 1], [3, 2], [2]]  # a repeated label needs a blank between
YS_PAD = torch.tensor([[1, 1], [3, 2], [2, -1]])
YS_LENS = torch.tensor([2, 2, 1])
LENS = torch.tensor(LENGTHS)


def noise(seed, *shape):
    gen = torch.Generator().manual_seed(seed)
    return torch.randn(*shape, generator=gen, dtype=torch.float64) * 1.5


def assert_agree(fast, slow, student):
    """Values and gradients of both, for the student's tensor."""
    found = []
    for function in (fast, slow):
        source = student.clone().requires_grad_()
        value = function(source)
        (grad,) = torch.autograd.grad(value, source)
        found.append((value.detach(), grad))
    torch.testing.assert_close(found[0][0], found[1][0], rtol=1e-9, atol=1e-12)
    torch.testing.assert_close(found[0][1], found[1][1], rtol=1e-9, atol=1e-10)


def softmax(row, temperature=1.0):
    exps = [(z / temperature).exp() for z in row]
    return [e / sum(exps) for e in exps]


def kl(p, q):
    return sum(a * (a.log() - b.log()) for a, b in zip(p, q, strict=True) if a > 0)


# --- posteriors -------------------------------------------------------------------


def reverse(p, q):
    return kl(q, p)


def jsd(p, q, beta=0.3):
    mix = [beta * a + (1 - beta) * b for a, b in zip(p, q, strict=True)]
    return beta * kl(p, mix) + (1 - beta) * kl(q, mix)


@pytest.mark.parametrize("reduction", ["batch", "token"])
@pytest.mark.parametrize(
    ("fast", "measure", "options"),
    [
        (kd.token_kl, kl, {}),
        (kd.token_reverse_kl, reverse, {}),
        (kd.token_jsd, jsd, {"beta": 0.3}),
    ],
)
def test_token_losses(fast, measure, options, reduction):
    teacher, weights, tau = noise(1, B, T, V), torch.tensor([1.0, 0.5, 2.0]).double(), 1.7

    def slow(student):
        total = 0
        for b, t in positions():
            p, q = softmax(teacher[b, t], tau), softmax(student[b, t], tau)
            total = total + weights[b] * tau**2 * measure(p, q)
        return total / (B if reduction == "batch" else sum(LENGTHS))

    options = options | {"temperature": tau, "reduction": reduction, "weights": weights}
    assert_agree(lambda z: fast(z, teacher, LENS, **options), slow, noise(0, B, T, V))


def positions():
    return [(b, t) for b, n in enumerate(LENGTHS) for t in range(n)]


def chosen(teacher, frames, context=0, threshold=0.5):
    """Frames kept, by the words of the documentation."""
    kept = set()
    for b, n in enumerate(LENGTHS):
        probs = [softmax(teacher[b, t]) for t in range(n)]
        if frames == "threshold":
            spikes = [t for t in range(n) if 1 - probs[t][0] > threshold]
        else:
            spikes = [t for t in range(n) if max(probs[t]) > probs[t][0]]
        if frames == "all":
            spikes = range(n)
        if frames == "trim" and spikes:
            spikes = range(spikes[0], spikes[-1] + 1)
        for t in spikes:
            kept |= {(b, u) for u in range(t - context, t + context + 1) if 0 <= u < n}
    return sorted(kept)


def blanks(seed):
    """Logits of a teacher that mostly says blank."""
    teacher = noise(seed, B, T, V)
    teacher[..., 0] += 1.5
    return teacher


@pytest.mark.parametrize("context", [0, 1])
@pytest.mark.parametrize("frames", ["all", "nonblank", "threshold", "trim"])
def test_ctc_frame_kl(frames, context):
    if frames == "all" and context:
        pytest.skip("refused by the constructor")
    teacher = blanks(1)
    kept = chosen(teacher, frames, context)
    assert kept

    def slow(student):
        pairs = [(softmax(teacher[b, t]), softmax(student[b, t])) for b, t in kept]
        return sum(kl(*pair) for pair in pairs) / B

    options = {"frames": frames, "context": context, "threshold": 0.5}
    assert_agree(
        lambda z: kd.ctc_frame_kl(z, teacher, LENS, **options), slow, noise(0, B, T, V)
    )


@pytest.mark.parametrize("form", ["cross_entropy", "probability"])
def test_ctc_guided(form):
    teacher = blanks(1)

    def slow(student):
        total = 0
        for b, t in chosen(teacher, "nonblank"):
            best = int(teacher[b, t].argmax())
            q = softmax(student[b, t])[best]
            total = total + (-q.log() if form == "cross_entropy" else 1 - q)
        return total / B

    assert_agree(
        lambda z: kd.ctc_guided(z, teacher, LENS, form=form), slow, noise(0, B, T, V)
    )


def alignments(labels, frames):
    """Every CTC path of a transcript, as the label index (or None) of each frame."""
    states = [None]
    for index in range(len(labels)):
        states += [index, None]
    found = []
    for path in itertools.product(range(len(states)), repeat=frames):
        symbols = [0 if states[s] is None else labels[states[s]] for s in path]
        steps = list(itertools.pairwise(path))
        ordered = all(a <= b for a, b in steps)
        skipped = all(
            b - a < 2 or (b - a == 2 and b % 2 and labels[states[b]] != labels[states[a]])
            for a, b in steps
        )
        if ordered and skipped and path[0] <= 1 and path[-1] >= len(states) - 2:
            found.append(([states[s] for s in path], symbols))
    return found


def occupancies(probs, labels, frames):
    """(T, U) by enumeration, and the transcript's probability."""
    gamma, total = torch.zeros(frames, len(labels), dtype=torch.float64), 0
    for path, symbols in alignments(labels, frames):
        weight = math.prod(float(probs[t][s]) for t, s in enumerate(symbols))
        total += weight
        for t, index in enumerate(path):
            if index is not None:
                gamma[t, index] += weight
    return gamma / total, total


def test_occupancies_by_enumeration():
    logits = noise(0, B, T, V)
    gamma = label_occupancies(logits.log_softmax(-1), LENS, YS_PAD, YS_LENS)
    for b, (n, labels) in enumerate(zip(LENGTHS, LABELS, strict=True)):
        expected, _ = occupancies([softmax(z) for z in logits[b]], labels, n)
        torch.testing.assert_close(gamma[b, :n, : len(labels)], expected, rtol=1e-9, atol=0)
        assert gamma[b, n:].eq(0).all()


def test_ctc_token_kl():
    teacher, held = noise(1, B, T, V), noise(0, B, T, V)

    def pooled(values, fixed, b):
        n, labels = LENGTHS[b], LABELS[b]
        gamma, _ = occupancies([softmax(z) for z in fixed[b]], labels, n)
        probs = [softmax(z) for z in values[b, :n]]
        return [
            [
                sum(gamma[t, u] * probs[t][v] for t in range(n)) / gamma[:, u].sum()
                for v in range(V)
            ]
            for u in range(len(labels))
        ]

    def slow(student):
        total = 0
        for b in range(B):
            # Occupancies are those of the student as it is, and constant.
            ours, theirs = pooled(student, held, b), pooled(teacher, teacher, b)
            total = total + sum(kl(p, q) for p, q in zip(theirs, ours, strict=True))
        return total / B

    def fast(student):
        return kd.ctc_token_kl(student, teacher, LENS, LENS, YS_PAD, YS_LENS)

    assert_agree(fast, slow, held)


@pytest.mark.parametrize("per", ["frame", "utterance"])
def test_ctc_shift_kl(per):
    teacher = noise(1, B, T, V)

    def at(student, b, t, d):
        return kl(softmax(teacher[b, t]), softmax(student[b, t + d]))

    def slow(student):
        total = 0
        for b, n in enumerate(LENGTHS):
            if per == "frame":
                total = total + sum(
                    min(at(student, b, t, d) for d in (-1, 0, 1, 2) if 0 <= t + d < n)
                    for t in range(n)
                )
                continue
            means = []
            for d in (-1, 0, 1, 2):
                inside = [t for t in range(n) if 0 <= t + d < n]
                if inside:
                    means.append(sum(at(student, b, t, d) for t in inside) / len(inside))
            total = total + min(means) * n
        return total / B

    def fast(student):
        return kd.ctc_shift_kl(student, teacher, LENS, min_shift=-1, max_shift=2, per=per)

    assert_agree(fast, slow, noise(0, B, T, V))


# --- sequences --------------------------------------------------------------------


def nbest():
    tokens = torch.tensor([[[1, 1], [1, 2]], [[3, 2], [3, 0]], [[2, 0], [0, 0]]])
    lengths = torch.tensor([[2, 2], [2, 1], [1, -1]])
    return NBest(tokens, lengths, torch.tensor([[-1.0, -1.5], [-2.0, -2.0], [-3.0, 0]]))


def posteriors(hyps, b, scale):
    there = [n for n in range(2) if hyps.lengths[b, n] >= 0]
    exps = {n: math.exp(scale * float(hyps.log_probs[b, n])) for n in there}
    return {n: e / sum(exps.values()) for n, e in exps.items()}


def test_ctc_nbest():
    hyps = nbest()

    def slow(student):
        total = 0
        for b, n in enumerate(LENGTHS):
            probs = [softmax(z) for z in student[b, :n]]
            for index, weight in posteriors(hyps, b, 0.7).items():
                labels = hyps.tokens[b, index, : hyps.lengths[b, index]].tolist()
                paths = alignments(labels, n)
                if paths:
                    likelihood = sum(
                        math.prod(probs[t][s] for t, s in enumerate(symbols))
                        for _, symbols in paths
                    )
                    total = total - weight * likelihood.log()
        return total / B

    assert_agree(lambda z: kd.ctc_nbest(z, LENS, hyps, scale=0.7), slow, noise(0, B, T, V))


def test_token_nbest():
    hyps, eos = nbest(), 3

    def decoder(source):
        # A bigram model of its own for each utterance: (previous, next) scores.
        def decode(ys_in, lens, rows):
            del lens
            return source[rows[:, None], ys_in]

        return decode

    def slow(student):
        total = 0
        for b in range(B):
            for index, weight in posteriors(hyps, b, 0.7).items():
                labels = hyps.tokens[b, index, : hyps.lengths[b, index]].tolist()
                for one, other in itertools.pairwise([eos, *labels, eos]):
                    total = total - weight * softmax(student[b, one])[other].log()
        return total / B

    def fast(student):
        return kd.token_nbest(decoder(student), hyps, eos_id=eos, scale=0.7)

    assert_agree(fast, slow, noise(0, B, V, V))


# --- transducer -------------------------------------------------------------------

MASK = node_mask(LENS, YS_LENS, T, 3)


def nodes():
    return [
        (b, t, u)
        for b, n in enumerate(LENGTHS)
        for t in range(n)
        for u in range(len(LABELS[b]) + 1)
    ]


def classes(logits, b, t, u):
    probs = softmax(logits[b, t, u])
    labels = LABELS[b]
    label = labels[u] if u < len(labels) else None
    rest = [p for v, p in enumerate(probs) if v not in (0, label)]
    return [probs[label] if label is not None else probs[0] * 0, probs[0], sum(rest)]


def collapsed(logits, blank=0):
    labels = next_labels(YS_PAD, YS_LENS, 3)
    return spread(collapse(logits, MASK, labels, blank), MASK)


@pytest.mark.parametrize("reduction", ["batch", "token"])
def test_transducer_collapsed_kl(reduction):
    teacher = noise(1, B, T, 3, V)

    def slow(student):
        pairs = [(classes(teacher, *n), classes(student, *n)) for n in nodes()]
        count = B if reduction == "batch" else len(pairs)
        return sum(kl(p, q) for p, q in pairs) / count

    def fast(student):
        return kd.transducer_collapsed_kl(
            student, collapsed(teacher), LENS, YS_PAD, YS_LENS, reduction=reduction
        )

    assert_agree(fast, slow, noise(0, B, T, 3, V))


def test_transducer_lattice_kl():
    teacher = noise(1, B, T, 3, V)

    def slow(student):
        pairs = [(softmax(teacher[n]), softmax(student[n])) for n in nodes()]
        return sum(kl(p, q) for p, q in pairs) / len(pairs)

    def fast(student):
        return kd.transducer_lattice_kl(student, teacher, LENS, YS_LENS)

    assert_agree(fast, slow, noise(0, B, T, 3, V))


def ways(frames, labels):
    """Every alignment as its nodes, each with whether it emits a label there."""
    for moves in set(itertools.permutations([0] * (frames - 1) + [1] * labels)):
        t = u = 0
        path = []
        for move in (*moves, 0):
            path.append((t, u, bool(move)))
            t, u = (t, u + 1) if move else (t + 1, u)
        yield path


def probability(logits, b, path):
    return math.prod(
        softmax(logits[b, t, u])[LABELS[b][u] if emits else 0] for t, u, emits in path
    )


def test_transducer_path_kl():
    teacher = noise(1, B, T, 3, V)

    def slow(student):
        total = 0
        for b, n in enumerate(LENGTHS):
            best = max(ways(n, len(LABELS[b])), key=lambda w: probability(teacher, b, w))
            pairs = [
                (softmax(teacher[b, t, u]), softmax(student[b, t, u])) for t, u, _ in best
            ]
            total = total + sum(kl(*pair) for pair in pairs)
        return total / B

    frames, emitted, lengths = best_path(collapsed(teacher), LENS, YS_LENS)
    rows = torch.arange(B)[:, None]
    path = Path(frames, emitted, lengths, teacher[rows, frames, emitted])
    assert_agree(lambda z: kd.transducer_path_kl(z, path), slow, noise(0, B, T, 3, V))


def emitted_at(logits, b):
    """The frame at which the most probable way emits each label."""
    paths = ways(LENGTHS[b], len(LABELS[b]))
    best = max(paths, key=lambda path: float(probability(logits, b, path)))
    return [t for t, _, emits in best if emits]


@pytest.mark.parametrize("reduction", ["batch", "token"])
def test_transducer_token_kl(reduction):
    """The teacher is faster: it has fewer frames, and emits at others."""
    teacher, student = noise(1, B, T, 3, V), noise(0, B, T, 3, V)
    late = torch.arange(T, dtype=torch.float64)[:, None] - 2
    student[..., 0] -= 2 * late  # says blank at first
    teacher[..., 0] += 2 * late
    frames = [emitted_at(student, b) for b in range(B)]
    told = [emitted_at(teacher, b) for b in range(B)]
    assert frames != told

    def slow(student):
        pairs = [
            (teacher[b, told[b][u], u], student[b, frames[b][u], u])
            for b in range(B)
            for u in range(len(LABELS[b]))
        ]
        count = B if reduction == "batch" else len(pairs)
        return sum(kl(softmax(p), softmax(q)) for p, q in pairs) / count

    at, before, lengths = best_path(collapsed(teacher), LENS, YS_LENS)
    path = Path(at, before, lengths, teacher[torch.arange(B)[:, None], at, before])
    given = (path, LENS, YS_PAD, YS_LENS)
    assert_agree(
        lambda z: kd.transducer_token_kl(z, *given, reduction=reduction), slow, student
    )


@pytest.mark.parametrize("distance", ["l1", "l2"])
def test_transducer_fullsum(distance):
    teacher = noise(1, B, T, 3, V)

    def total(logits, b):
        paths = ways(LENGTHS[b], len(LABELS[b]))
        return sum(probability(logits, b, path) for path in paths).log()

    wanted = torch.stack([total(teacher, b) for b in range(B)])

    def slow(student):
        gaps = [(wanted[b] - total(student, b)).abs() for b in range(B)]
        return sum(g if distance == "l1" else g**2 for g in gaps) / B

    def fast(student):
        return kd.transducer_fullsum(
            student, wanted, LENS, YS_PAD, YS_LENS, distance=distance
        )

    assert_agree(fast, slow, noise(0, B, T, 3, V))


def test_the_total_is_torchaudios():
    functional = pytest.importorskip("torchaudio.functional")
    from espnet_kd.losses.transducer_sequence import transcript_log_prob

    logits = noise(0, B, T, 3, V).float()
    loss = functional.rnnt_loss(
        logits, YS_PAD.clamp(min=0).int(), LENS.int(), YS_LENS.int(), 0, -1, "none"
    )
    ours = transcript_log_prob(logits, LENS, YS_PAD, YS_LENS)
    torch.testing.assert_close(-ours, loss, rtol=1e-5, atol=1e-5)


def test_another_blank_is_no_different():
    """Blank last instead of first: the same three numbers."""
    logits = noise(0, B, T, 3, V)
    moved = logits[..., [1, 2, 3, 0]]
    labels = next_labels(YS_PAD - 1, YS_LENS, 3)
    labels = labels.masked_fill(next_labels(YS_PAD, YS_LENS, 3) < 0, -1)
    last = spread(collapse(moved, MASK, labels, V - 1), MASK)
    torch.testing.assert_close(last, collapsed(logits), rtol=1e-12, atol=1e-12)


# --- hidden representations -------------------------------------------------------


def mse(s, t):
    return sum((a - b) ** 2 for a, b in zip(s, t, strict=True)) / len(s)


def cosine(s, t):
    product = sum(a * b for a, b in zip(s, t, strict=True))
    return 1 - product / (sum(a * a for a in s) * sum(b * b for b in t)).sqrt()


def l1_cosine(s, t):
    return sum((a - b).abs() for a, b in zip(s, t, strict=True)) / len(s) + cosine(s, t)


@pytest.mark.parametrize(
    ("fast", "measure"),
    [(kd.hidden_mse, mse), (kd.hidden_cosine, cosine), (kd.hidden_l1_cosine, l1_cosine)],
)
def test_hidden_losses(fast, measure):
    teacher = noise(1, B, T, V)

    def slow(student):
        return sum(measure(student[n], teacher[n]) for n in positions()) / B

    assert_agree(lambda z: fast(z, teacher, LENS), slow, noise(0, B, T, V))


def test_hidden_cka():
    teacher = noise(1, B, T, 3)
    places = positions()

    def gram(values):
        rows = [values[n] for n in places]
        mean = sum(rows) / len(rows)
        return [[((a - mean) * (b - mean)).sum() for b in rows] for a in rows]

    def product(one, other):
        return sum(
            a * b
            for r, s in zip(one, other, strict=True)
            for a, b in zip(r, s, strict=True)
        )

    def slow(student):
        # In the dual form: inner products of frames rather than of features.
        ours, theirs = gram(student), gram(teacher)
        own = (product(ours, ours) * product(theirs, theirs)).sqrt()
        return 1 - product(ours, theirs) / own

    assert_agree(lambda z: kd.hidden_cka(z, teacher, LENS), slow, noise(0, B, T, V))


def means(values):
    return [sum(values[b, t] for t in range(n)) / n for b, n in enumerate(LENGTHS)]


def test_similarity():
    teacher = noise(1, B, T, 3)

    def rows(values):
        points = means(values)
        grams = [[(a * b).sum() for b in points] for a in points]
        return [[g / sum(h * h for h in row).sqrt() for g in row] for row in grams]

    def slow(student):
        pairs = zip(
            itertools.chain(*rows(student)), itertools.chain(*rows(teacher)), strict=True
        )
        return sum((a - b) ** 2 for a, b in pairs) / B**2

    assert_agree(lambda z: kd.similarity(z, teacher, LENS), slow, noise(0, B, T, V))


def huber(a, b):
    gap = (a - b).abs()
    return gap**2 / 2 if gap < 1 else gap - 0.5


def test_rkd():
    teacher = noise(1, B, T, 3)

    def relations(values):
        points = means(values)
        distances = [
            ((a - b) ** 2).sum().sqrt() for a, b in itertools.combinations(points, 2)
        ]
        mean = sum(distances) / len(distances)
        angles = []
        for j in range(B):
            for i, k in itertools.combinations([n for n in range(B) if n != j], 2):
                one, other = points[j] - points[i], points[j] - points[k]
                norm = ((one**2).sum() * (other**2).sum()).sqrt()
                angles.append((one * other).sum() / norm)
        return [d / mean for d in distances], angles

    def slow(student):
        pairs = zip(relations(student), relations(teacher), strict=True)
        parts = []
        for ours, theirs in pairs:
            values = [huber(a, b) for a, b in zip(ours, theirs, strict=True)]
            parts.append(sum(values) / len(values))
        return parts[0] + 2 * parts[1]

    assert_agree(lambda z: kd.rkd(z, teacher, LENS), slow, noise(0, B, T, V))


# --- attention --------------------------------------------------------------------


@pytest.mark.parametrize("heads", [2, 3])
def test_attention_kl(heads):
    teacher = maps(noise(1, B, heads, T, T))

    def slow(student):
        ours = maps(student)
        total = 0
        for b, t in positions():
            n = LENGTHS[b]
            p, q = teacher[b, :, t, :n], ours[b, :, t, :n]
            if heads != 2:
                p, q = p.mean(0, keepdim=True), q.mean(0, keepdim=True)
            total = total + sum(kl(a, c) for a, c in zip(p, q, strict=True)) / len(p)
        return total / B

    assert_agree(
        lambda z: kd.attention_kl(maps(z), teacher, LENS), slow, noise(0, B, 2, T, T)
    )


def maps(scores):
    real = torch.arange(T) < LENS[:, None]
    return scores.masked_fill(~real[:, None, None], float("-inf")).softmax(-1)


def test_relation_kl():
    teacher = [noise(seed, B, T, 6) for seed in (1, 2)]

    def relation(vectors, b, t, a, width):
        size = width // 2
        part = vectors[b, :, a * size : (a + 1) * size]
        scores = [(part[t] * part[s]).sum() / size**0.5 for s in range(LENGTHS[b])]
        return softmax(scores)

    def slow(student):
        total = 0
        for (b, t), a, r in itertools.product(positions(), range(2), range(2)):
            p = relation(teacher[r], b, t, a, 6)
            total = total + kl(p, relation(student[r], b, t, a, 4)) / 4
        return total / B

    def fast(student):
        return kd.relation_kl(list(student), teacher, LENS, heads=2)

    assert_agree(fast, slow, noise(0, 2, B, T, V))


# --- codebooks --------------------------------------------------------------------


@pytest.mark.parametrize("reduction", ["batch", "token"])
def test_codebook_ce(reduction):
    books, centroids, spans = 2, 3, 2
    gen = torch.Generator().manual_seed(1)
    codes = torch.randint(0, centroids, (B, T, spans, books), generator=gen)
    codes[:, ::2, 1] = -1  # every other frame stands for one alone
    weights = torch.tensor([1.0, 0.5, 2.0]).double()

    def slow(student):
        total = 0
        for b, t in positions():
            for n in range(books):
                q = softmax(student[b, t, n])
                own = [c for c in codes[b, t, :, n].tolist() if c >= 0]
                found = sum(-q[c].log() for c in own) / len(own)
                total = total + weights[b] * found / books
        return total / (B if reduction == "batch" else sum(LENGTHS))

    options = {"reduction": reduction, "weights": weights}
    student = noise(0, B, T, books, centroids)
    assert_agree(lambda z: kd.codebook_ce(z, codes, LENS, **options), slow, student)


# --- consistency ------------------------------------------------------------------


def test_cr_ctc():
    held = noise(0, 2, B, T, V)

    def slow(views):
        total = 0
        for n in positions():
            one, other = (softmax(view[n]) for view in views)
            fixed_one, fixed_other = (softmax(view[n]) for view in held)
            total = total + (kl(fixed_other, one) + kl(fixed_one, other)) / 2
        return total / B

    assert_agree(lambda z: kd.cr_ctc(z[0], z[1], LENS), slow, held)


@pytest.mark.parametrize("reduction", ["batch", "token"])
def test_transducer_mode_consistency(reduction):
    held = noise(0, 2, B, T, 3, V)

    def slow(passes):
        total = 0
        for n in nodes():
            one, other = (classes(lattice, *n) for lattice in passes)
            fixed_one, fixed_other = (classes(lattice, *n) for lattice in held)
            total = total + (kl(fixed_other, one) + kl(fixed_one, other)) / 2
        return total / (B if reduction == "batch" else len(nodes()))

    def fast(passes):
        given = (LENS, YS_PAD, YS_LENS)
        return kd.transducer_mode_consistency(*passes, *given, reduction=reduction)

    assert_agree(fast, slow, held)


def test_passes_of_two_shapes_are_named():
    with pytest.raises(ValueError, match=r"logits \(3, 5, 3, 4\) and other_logits \(3, 5,"):
        kd.transducer_mode_consistency(
            noise(0, B, T, 3, V), noise(0, B, T, 2, V), LENS, YS_PAD, YS_LENS
        )
