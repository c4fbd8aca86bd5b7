"""Live scores: bounded context, one encoder call a frame, and what looking ahead costs."""

import numpy as np
import pytest
from engines import SIZE, BrightnessEngine, tiny_engine

from cliptide.app.inference.engine import scores_of
from cliptide.app.inference.stream import STATES, StreamScorer, context_frames
from cliptide.configs.errors import CliptideError


def frames(count, seed=0):
    return np.random.default_rng(seed).integers(0, 255, (count, *SIZE, 3), dtype=np.uint8)


def test_as_long_as_a_clip_lasts_the_scores_are_those_of_the_clip():
    engine = tiny_engine()
    clip, scorer = frames(6), StreamScorer(engine)
    for count, frame in enumerate(clip, start=1):
        expected = scores_of(engine.score_clips([clip[:count]]), task="single")[0]
        np.testing.assert_allclose(scorer.push(frame), expected, atol=1e-5)


def test_what_answers_has_seen_a_context_at_least_and_half_of_it_more_at_most():
    engine = BrightnessEngine(info={"context_s": 0.9})
    context, scorer = context_frames(engine), StreamScorer(engine)
    assert context == 9
    bright = np.full((1, *SIZE, 3), 255, np.uint8)[0]
    dark = np.zeros_like(bright)
    for _ in range(50):
        scorer.push(dark)
    # All that answers remembers is dark until it has begun within the bright ones.
    at = [scorer.push(bright) for _ in range(40)]
    assert at[context - 4].argmax() != 2
    is_bright = [scores.argmax() == 2 for scores in at]
    assert all(is_bright[context + context // 2 + 1 :])


@pytest.mark.parametrize("context", [1, 2, 3, 7, 12, 30])
def test_the_oldest_state_is_never_younger_than_a_context(context):
    engine = BrightnessEngine(info={"context_s": context / 10})
    scorer = StreamScorer(engine)
    ages = np.zeros(STATES, int)
    for number in range(6 * context + 20):
        scorer.push(frames(1)[0])
        begin = np.array(engine.begins[-1])
        ages = np.where(begin, 1, ages + 1)
        assert ages.max() >= min(number + 1, context)
        assert ages.max() <= context * STATES / (STATES - 1) + 1


def test_each_frame_is_encoded_once():
    engine = BrightnessEngine()
    scorer = StreamScorer(engine)
    for frame in frames(25):
        scorer.push(frame)
    assert engine.encoded == 25
    assert len(engine.begins) == 25


def test_a_restart_forgets_all_that_was():
    engine = tiny_engine(temporal="gru", shift="causal", motion="features")
    first, second = StreamScorer(engine), StreamScorer(engine)
    for frame in frames(20, seed=1):
        first.push(frame)
    first.restart()
    for frame in frames(9, seed=2):
        np.testing.assert_allclose(first.push(frame), second.push(frame), atol=1e-6)


@pytest.mark.parametrize("keys", [{"bidirectional": True}, {"shift": "both"}])
def test_models_that_look_ahead_answer_by_the_last_context_and_say_how_old_that_is(keys):
    engine = tiny_engine(temporal="gru", info={"frames": 16, "context_s": 1.6}, **keys)
    scorer, shown = StreamScorer(engine), frames(40)
    answers = [scorer.push(frame) for frame in shown]
    every = 2 if "bidirectional" in keys else 8
    assert scorer.delay_s == pytest.approx((every - 1) / 10)
    # The last answer was made when the 40th frame came: 40 is a whole number of chunks.
    expected = scores_of(engine.score_clips([shown[-16:]]), task="single")[0]
    np.testing.assert_allclose(answers[-1], expected, atol=1e-5)
    changes = [
        number for number in range(17, 40) if not (answers[number] == answers[number - 1]).all()
    ]
    assert {number % every for number in changes} == {every - 1}


def test_the_temperature_of_the_model_file_holds_for_streams_too():
    raw, calm = BrightnessEngine(), BrightnessEngine(info={"temperature": 4.0})
    frame = np.full((*SIZE, 3), 140, np.uint8)
    sure, unsure = StreamScorer(raw).push(frame), StreamScorer(calm).push(frame)
    assert sure.argmax() == unsure.argmax() == 1
    assert unsure.max() < sure.max()


def test_a_network_that_gives_no_numbers_is_said_so():
    engine = BrightnessEngine(levels=(float("nan"), 1, 2))
    with pytest.raises(CliptideError, match=r"not numbers \(NaN\).*train\.lr"):
        StreamScorer(engine).push(frames(1)[0])


def test_several_labels_and_numbers_stream_too():
    multi = tiny_engine(info={"task": "multi"})
    regression = tiny_engine(info={"task": "regression"})
    for frame in frames(8):
        scores = StreamScorer(multi).push(frame)
        assert ((scores > 0) & (scores < 1)).all()
        assert np.isfinite(StreamScorer(regression).push(frame)).all()
