"""One frame at a time for many streams: the numbers of whole clips, whichever began when."""

import pytest
import torch

from cliptide.configs.errors import ConfigError
from cliptide.configs.schema import ModelConfig
from cliptide.models.build import build_recognizer
from cliptide.models.stepping import FrameEncoder, Stepper

SIZE = (16, 24)
VARIANTS = [
    *({"temporal": name} for name in ("none", "rnn", "lstm", "gru", "mingru", "minlstm", "tcn")),
    {"temporal": "convlstm"},
    {"temporal": "convgru", "summary": "mean", "motion": "features"},
    {"temporal": "gru", "layers": 2, "residual": True},
    {"temporal": "lstm", "layers": 2, "summary": "attention"},
    {"temporal": "gru", "summary": "max", "shift": "causal", "motion": "both"},
]


def network_of(**keys):
    torch.manual_seed(0)
    config = ModelConfig(**({"encoder": "tiny", "width": 0.25, "hidden": 8} | keys))
    return build_recognizer(config, num_classes=3).eval()


@pytest.mark.parametrize("keys", VARIANTS, ids=lambda keys: "-".join(map(str, keys.values())))
@torch.inference_mode()
def test_a_stream_that_begins_anew_in_a_batch_gives_what_its_clip_alone_gives(keys):
    network = network_of(**keys)
    clips = torch.randint(0, 255, (2, 7, 3, *SIZE), dtype=torch.uint8)
    encoder, stepper = FrameEncoder(network, size=SIZE), Stepper(network, size=SIZE)
    seen, state = encoder.initial(2), stepper.initial(2)
    assert len(seen) == len(encoder.state_names) and len(state) == len(stepper.state_names)
    assert all(len(part) == 2 for part in (*seen, *state))
    for step in range(7):
        begin = torch.tensor([step == 0, step in (0, 3)])
        features, *seen = encoder(clips[:, step], begin, *seen)
        logits, *state = stepper(features, begin, *state)
    torch.testing.assert_close(logits[:1], network(clips[:1], torch.tensor([7])))
    torch.testing.assert_close(logits[1:], network(clips[1:, 3:], torch.tensor([4])))


@pytest.mark.parametrize("keys", [{"bidirectional": True}, {"shift": "both"}])
def test_models_that_look_ahead_are_refused_with_what_to_train_instead(keys):
    network = network_of(temporal="gru", **keys)
    with pytest.raises(ConfigError, match=r"frames that are still to come.*model\.shift causal"):
        Stepper(network, size=SIZE)
        FrameEncoder(network, size=SIZE)
