import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sidekick.errors import SidekickError
from sidekick.kernels import blocks
from sidekick.methods import weight_fit
from sidekick.methods.weight_fit import fit_combinations, fit_weights
from unit.methods import reference
from unit.methods.data import centred_float16, make_models

SIGNALS = [(2.0,), (2.0, 1.0), (2.0, 1.0, 0.5)]


def assert_same_fit(fit, weights, nll):
    assert fit.nll == pytest.approx(nll, abs=1e-9)
    np.testing.assert_allclose(fit.weights, weights, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("signals", SIGNALS)
@pytest.mark.parametrize("method", ["L-BFGS-B", "SLSQP"])
def test_optimum_is_scipys(signals, seed, method):
    logits, labels = make_models(seed, signals=signals)
    fit = fit_weights(logits, labels)
    assert_same_fit(fit, *reference.fit_by_scipy(logits, labels, method))
    assert fit.converged
    assert fit.note is None
    assert fit.iterations <= 10


@pytest.mark.parametrize("signals", SIGNALS)
def test_optimum_is_torchs(signals):
    logits, labels = make_models(7, n=2000, signals=signals)
    weights, nll = reference.fit_by_torch(logits, labels)
    assert weights.min() > 0
    assert_same_fit(fit_weights(logits, labels), weights, nll)


def test_nll_is_that_of_the_weights():
    logits, labels = make_models(0, n=50)
    fit = fit_weights(logits, labels)
    assert fit.nll == pytest.approx(reference.nll(fit.weights, logits, labels), abs=1e-12)


@st.composite
def problems(draw):
    """Small integer logits: ties, bounds, separable and hopeless cases are all common."""
    models = draw(st.integers(1, 3))
    n, classes = draw(st.integers(1, 12)), draw(st.integers(1, 4))
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    logits = rng.integers(-3, 4, (models, n, classes)).astype(np.float64)
    return list(logits * draw(st.sampled_from([1e-3, 1.0, 1e3]))), rng.integers(0, classes, n)


@settings(max_examples=300, deadline=None)
@given(problems())
def test_no_direction_leads_further_down(problem):
    """The conditions of Karush, Kuhn and Tucker, which are sufficient as the loss is convex."""
    logits, labels = problem
    fit = fit_weights(logits, labels)
    assert (fit.weights >= 0).all()
    assert (fit.at_zero == (fit.weights == 0)).all()
    nll, gradient = reference.nll_and_gradient(fit.weights, logits, labels)
    assert fit.nll == pytest.approx(nll, abs=1e-9)
    assert fit.converged
    # Relative to the scale of the logits, as the tolerance is.
    gradient = gradient / max(np.abs(logits).max(), 1e-300)
    assert (gradient > -1e-6).all()
    assert np.abs(gradient[~fit.at_zero]).max(initial=0.0) < 1e-6


@settings(max_examples=100, deadline=None)
@given(problems())
def test_a_further_model_never_hurts(problem):
    logits, labels = problem
    assert fit_weights(logits, labels).nll <= fit_weights(logits[:1], labels).nll + 1e-9


@settings(max_examples=150, deadline=None)
@given(problems())
def test_separable_means_that_the_weights_classify_every_sample_right(problem):
    logits, labels = problem
    fit = fit_weights(logits, labels)
    combined = np.tensordot(fit.weights, np.stack(logits), 1)
    own = combined[np.arange(len(labels)), labels]
    others = combined.copy()
    others[np.arange(len(labels)), labels] = -np.inf
    assert fit.separable == (own > others.max(axis=1)).all()
    if fit.separable:
        assert fit.nll < 1e-3


@pytest.mark.parametrize("factor", [1e3, 1e-3])
def test_scale_of_the_logits_only_scales_the_weights(factor):
    logits, labels = make_models(1)
    plain, scaled = (
        fit_weights(own, labels) for own in (logits, [logits[0] * factor, logits[1] / factor])
    )
    assert scaled.nll == pytest.approx(plain.nll, abs=1e-12)
    np.testing.assert_allclose(scaled.weights * [factor, 1 / factor], plain.weights, rtol=1e-9)
    assert scaled.iterations == plain.iterations
    assert scaled.gradient_norm == pytest.approx(plain.gradient_norm, abs=1e-12)


@pytest.mark.parametrize("size", [1.0, 1e3, 1e6])
def test_a_shift_of_rows_changes_nothing(size):
    logits, labels = make_models(2)
    shift = np.random.default_rng(0).normal(size=(len(labels), 1)) * size
    shifted = fit_weights([logits[0] + shift, logits[1] - shift], labels)
    assert_same_fit(shifted, fit_weights(logits, labels).weights, fit_weights(logits, labels).nll)


def test_order_of_rows_and_classes_changes_nothing():
    logits, labels = make_models(3)
    plain = fit_weights(logits, labels)
    rng = np.random.default_rng(0)
    rows, classes = rng.permutation(300), rng.permutation(5)
    by_row = fit_weights([z[rows] for z in logits], labels[rows])
    by_class = fit_weights([z[:, classes] for z in logits], np.argsort(classes)[labels])
    for other in (by_row, by_class):
        np.testing.assert_allclose(other.weights, plain.weights, rtol=1e-9)


def test_order_of_models_only_reorders_the_weights():
    logits, labels = make_models(4, signals=(2.0, 1.0, 0.5))
    plain = fit_weights(logits, labels)
    reordered = fit_weights([logits[2], logits[0], logits[1]], labels)
    np.testing.assert_allclose(reordered.weights, plain.weights[[2, 0, 1]], rtol=1e-6)


@pytest.mark.parametrize("outlier", [1e4, 1e8])
def test_one_wild_row_does_not_blunt_the_tolerance(outlier):
    logits, labels = make_models(5, n=500)
    plain = fit_weights(logits, labels)
    wild = [np.vstack([z, np.where(np.arange(5) == 0, outlier, 0.0)]) for z in logits]
    fit = fit_weights(wild, np.append(labels, 0))
    # The wild row is right with certainty: it adds a loss of 0.
    assert_same_fit(fit, plain.weights, plain.nll * 500 / 501)


@pytest.mark.parametrize("seed", [65, 77, 233])
def test_full_newton_steps_that_overshoot_are_shortened(seed):
    """Rows of wildly different scale, some right and some wrong: full steps diverge here."""
    rng = np.random.default_rng(seed)
    n = int(rng.integers(5, 40))
    models = 1 + seed % 3
    labels = rng.integers(0, 3, n)
    logits = [rng.normal(size=(n, 3)) * np.exp(rng.normal(size=(n, 1)) * 4) for _ in range(models)]
    for z in logits:
        z[np.arange(n), labels] += np.abs(z).mean(axis=1) * rng.normal(1, 1)
    fit = fit_weights(logits, labels)
    assert fit.converged
    assert fit.nll <= reference.fit_by_scipy(logits, labels)[1] + 1e-9


def test_noise_gets_a_weight_of_about_zero():
    (large,), labels = make_models(6, n=3000, signals=(2.0,))
    alone = fit_weights([large], labels)
    noise = np.random.default_rng(0).normal(size=large.shape)
    fit = fit_weights([large, noise], labels)
    assert fit.weights[1] < 0.05
    assert alone.nll - 2e-3 < fit.nll <= alone.nll
    np.testing.assert_allclose(fit.weights[0], alone.weights[0], rtol=0.01)


def test_a_misleading_model_is_switched_off_and_changes_nothing():
    (large, small), labels = make_models(8, n=1000)
    alone, fit = fit_weights([large], labels), fit_weights([large, -small], labels)
    assert fit.weights[1] == 0
    assert fit.at_zero.tolist() == [False, True]
    assert fit.weights[0] == pytest.approx(alone.weights[0], rel=1e-7)
    assert fit.nll == pytest.approx(alone.nll, abs=1e-12)
    assert fit.converged


def test_a_model_that_is_always_wrong_is_switched_off():
    (large,), _ = make_models(9, signals=(2.0,))
    fit = fit_weights([large], large.argmin(axis=1))
    assert fit.weights.tolist() == [0.0]
    assert fit.nll == pytest.approx(np.log(5))
    assert fit.converged
    assert not fit.separable
    assert "all weights are 0" in fit.note


@pytest.mark.parametrize("smallest_margin", [3.0, 1e-4])
def test_separable_samples_are_reported(smallest_margin):
    labels = np.arange(400) % 4
    logits = np.eye(4)[labels] * 3
    logits[0] *= smallest_margin / 3
    fit = fit_weights([logits], labels)
    assert fit.separable
    assert "separable" in fit.note
    assert fit.weights[0] > 1
    # One sample on the wrong side, however little, makes the optimum finite again.
    logits[1] = np.eye(4)[2] * 1e-4
    fit = fit_weights([logits], labels)
    assert not fit.separable
    assert fit.converged


def test_one_sample():
    right, wrong = (fit_weights([np.array([[2.0, 1.0, 0.0]])], np.array([y])) for y in (0, 2))
    assert right.separable
    assert wrong.weights[0] == 0


def test_one_class_says_nothing():
    fit = fit_weights([np.array([[3.0], [-1.0]])], np.zeros(2, int))
    assert fit.nll == 0
    assert fit.converged
    assert np.isfinite(fit.weights).all()


def test_identical_models_share_the_weight_of_one():
    (large, _), labels = make_models(10)
    alone, twice = fit_weights([large], labels), fit_weights([large, large], labels)
    assert twice.nll == pytest.approx(alone.nll, abs=1e-9)
    assert twice.weights.sum() == pytest.approx(alone.weights[0], rel=1e-5)
    assert twice.converged


def test_constant_logits_say_nothing_and_are_switched_off():
    (large, _), labels = make_models(11)
    # Constant within every row, which is all that softmax sees.
    constant = np.repeat(np.arange(len(labels), dtype=float)[:, None], 5, axis=1)
    fit, alone = fit_weights([large, constant], labels), fit_weights([large], labels)
    assert fit.at_zero.tolist() == [False, True]
    assert fit.weights[0] == pytest.approx(alone.weights[0], rel=1e-7)
    only = fit_weights([constant], labels)
    assert only.nll == pytest.approx(np.log(5))
    assert only.at_zero.all()
    assert only.note is not None


def test_centred_float16_moves_the_optimum_by_its_rounding_only():
    logits, labels = make_models(12, n=2000)
    exact = fit_weights(logits, labels)
    rounded = fit_weights([centred_float16(z) for z in logits], labels)
    assert rounded.nll == pytest.approx(exact.nll, abs=1e-5)
    np.testing.assert_allclose(rounded.weights, exact.weights, rtol=1e-3)
    # Against the same rounded numbers the optimum is exact.
    assert_same_fit(rounded, *reference.fit_by_scipy([centred_float16(z) for z in logits], labels))


@pytest.mark.parametrize("dtype", [np.float16, np.float32])
@pytest.mark.parametrize("signals", SIGNALS)
def test_single_precision_ends_at_the_optimum(signals, dtype):
    """More than 4,000 rows of the logit cache: within 1e-7 nats of others in double precision."""
    logits, labels = make_models(21, n=6001, classes=30, signals=signals)
    rounded = [centred_float16(z).astype(dtype) for z in logits]
    fit = fit_weights(rounded, labels)
    wide = [z.astype(np.float64) for z in rounded]
    weights, nll = reference.fit_by_torch(wide, labels)
    assert fit.nll == pytest.approx(nll, abs=1e-7)
    assert reference.nll_and_gradient(fit.weights, wide, labels)[0] == pytest.approx(nll, abs=1e-10)
    np.testing.assert_allclose(fit.weights, weights, rtol=1e-4, atol=1e-4)
    assert fit.converged
    assert fit.note is None
    assert 1 <= fit.iterations <= 5
    spread = np.array([np.median(np.std(z, axis=1)) for z in wide])
    gradient = reference.nll_and_gradient(fit.weights, wide, labels)[1] / spread
    assert np.abs(gradient).max() < 2e-6


def test_rounding_in_single_precision_does_not_stall_the_search():
    for seed in range(12):
        logits, labels = make_models(seed, n=5000, classes=40, signals=(4.0, 3.0))
        fit = fit_weights([centred_float16(z) for z in logits], labels)
        assert fit.converged
        assert fit.iterations <= 4


@pytest.mark.parametrize("dtype", [np.float16, np.float64])
def test_a_useless_sidekick_is_no_loss_in_either_precision(dtype):
    (large, small), labels = make_models(22, n=8000, classes=20, signals=(3.0, 1.0))
    noise = np.random.default_rng(0).normal(size=large.shape)
    large, misleading, noise = (centred_float16(z).astype(dtype) for z in (large, -small, noise))
    alone, fit = fit_weights([large], labels), fit_weights([large, noise], labels)
    assert fit.converged
    assert fit.weights[1] < 0.03
    assert alone.nll - 1e-3 < fit.nll <= alone.nll + 1e-7
    against = fit_weights([large, misleading], labels)
    assert against.at_zero.tolist() == [False, True]
    assert against.nll == pytest.approx(alone.nll, abs=1e-7)


@pytest.mark.parametrize("n", [500, 5000])
def test_fits_taken_together_are_those_taken_alone(n):
    logits, labels = make_models(23, n=n, signals=(2.0, 1.0, 0.5))
    halves = [centred_float16(z) for z in logits]
    order = np.random.default_rng(0).permutation(n)
    combinations = [[0], [0, 1], [2], [2, 0], [0, 1, 2], [0, 3]]
    *together, shuffled = fit_combinations(
        [*halves, halves[1]], labels, combinations, [None, None, None, order]
    )
    for members, fit in zip(combinations, together, strict=False):
        alone = fit_weights([halves[member] for member in members], labels)
        assert fit.weights.tolist() == alone.weights.tolist()
        assert (fit.nll, fit.iterations) == (alone.nll, alone.iterations)
    alone = fit_weights([halves[0], halves[1][order]], labels)
    assert shuffled.nll == pytest.approx(alone.nll, abs=1e-9)
    np.testing.assert_allclose(shuffled.weights, alone.weights, atol=1e-5)


def test_absent_options_are_as_if_never_there():
    logits, labels = make_models(13, classes=4)
    padded = [np.hstack([z, np.full((300, 2), -np.inf)]) for z in logits]
    plain, fit = fit_weights(logits, labels), fit_weights(padded, labels)
    np.testing.assert_allclose(fit.weights, plain.weights, rtol=1e-9)
    assert fit.nll == pytest.approx(plain.nll, abs=1e-12)


def test_rows_may_differ_in_which_options_are_absent():
    logits, labels = make_models(14, n=200, classes=5)
    absent = np.random.default_rng(0).random((200, 5)) < 0.3
    absent[np.arange(200), labels] = False
    holes = [np.where(absent, -np.inf, z) for z in logits]
    low = [np.where(absent, -1e4, z) for z in logits]
    fit = fit_weights(holes, labels)
    np.testing.assert_allclose(fit.weights, reference.fit_by_scipy(low, labels)[0], atol=1e-5)


@pytest.mark.parametrize("classes", [2, 7])
def test_many_rows_start_from_a_part_and_end_at_the_same_optimum(classes):
    logits, labels = make_models(15, n=9001, classes=classes)
    assert_same_fit(fit_weights(logits, labels), *reference.fit_by_scipy(logits, labels))


@pytest.mark.parametrize("others", ["right", "wrong", "mixed"])
def test_a_misleading_part_to_start_from_does_not_matter(others):
    """Every fourth row, the part that the fit starts from, is right beyond doubt."""
    (large, small), labels = make_models(16, n=8000, classes=4)
    part = np.arange(8000) % 4 == 0
    for z in (large, small):
        z[part] = 0
        z[part, labels[part]] = 5
        if others != "mixed":
            z[~part] = 0
            z[~part, (labels[~part] + (others == "wrong")) % 4] = 5
    fit = fit_weights([large, small], labels)
    assert fit.converged
    weights, nll = reference.fit_by_scipy([large, small], labels)
    assert fit.nll == pytest.approx(nll, abs=1e-8)
    if others == "mixed":
        np.testing.assert_allclose(fit.weights, weights, rtol=1e-5)
    assert fit.separable == (others == "right")


def test_blocks_of_rows_do_not_matter(monkeypatch):
    logits, labels = make_models(17, n=101)
    plain = fit_weights(logits, labels)
    monkeypatch.setattr(blocks, "_BLOCK_ELEMENTS", 70)
    np.testing.assert_allclose(fit_weights(logits, labels).weights, plain.weights, rtol=1e-7)


def test_a_fit_that_is_cut_short_says_so(monkeypatch):
    logits, labels = make_models(18)
    monkeypatch.setattr(weight_fit, "_MAX_ITERATIONS", 1)
    fit = fit_weights(logits, labels)
    assert fit.iterations == 1
    assert not fit.converged
    assert "not converged" in fit.note
    _, gradient = reference.nll_and_gradient(fit.weights, logits, labels)
    spread = np.array([np.median(np.std(z, axis=1)) for z in logits])
    assert fit.gradient_norm == pytest.approx(np.abs(gradient / spread).max(), rel=1e-6)


@pytest.mark.parametrize("n", [30, 9000])
@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (lambda z, y: z[1].__setitem__((7, 2), np.nan), "row 7 of the logits: a logit is NaN"),
        (lambda z, y: z[0].__setitem__((7, 2), np.inf), "row 7 of the logits: a logit is .inf"),
        (lambda z, y: z[0].__setitem__(7, -np.inf), "row 7 .* absent"),
        (lambda z, y: z[1].__setitem__((7, 2), -np.inf), "row 7 .*absent in one only"),
        (lambda z, y: z[0].__setitem__((7, 2), -np.inf), "row 7 .*absent in one only"),
        (lambda z, y: [own.__setitem__((7, y[7]), -np.inf) for own in z], "row 7 .*label is an"),
        (lambda z, y: y.__setitem__(7, 5), "label 5 in row 7; allowed are 0 to 4"),
        (lambda z, y: y.__setitem__(7, -1), "label -1 in row 7; allowed are 0 to 4"),
    ],
)
def test_unusable_values_are_refused_with_their_row(spoil, message, n):
    logits, labels = make_models(19, n=n)
    labels[7] = 2 if "only" not in message else 1
    spoil(logits, labels)
    with pytest.raises(SidekickError, match=message):
        fit_weights(logits, labels)


def test_arrays_that_do_not_match_are_refused():
    logits, labels = make_models(20)
    with pytest.raises(SidekickError, match="different shapes"):
        fit_weights([logits[0], logits[1][:, :4]], labels)
    with pytest.raises(SidekickError, match="300 rows of logits and 299 labels"):
        fit_weights(logits, labels[:-1])
    with pytest.raises(SidekickError, match="nothing to fit"):
        fit_weights([np.empty((0, 3))], np.empty(0, int))
