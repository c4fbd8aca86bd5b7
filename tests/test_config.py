"""The config: what may stand in it, wherever it comes from, and what a mistake is answered with."""

import dataclasses
import math

import pytest
import yaml

from cliptide.app.parsing import recipe_names
from cliptide.configs.checks import allowed_values, nearest
from cliptide.configs.errors import ConfigError
from cliptide.configs.schema import SECTIONS, DataConfig, EvalConfig, ModelConfig, RunConfig
from cliptide.configs.sizes import parse_size
from cliptide.configs.training import TrainConfig


def printed_config(cliptide, *words):
    result = cliptide("train", *words, "--print_config")
    assert (result.code, result.err) == (0, "")
    return yaml.safe_load(result.out)


@pytest.mark.parametrize(
    ("text", "size"), [("112", (112, 112)), (112, (112, 112)), ("128x171", (128, 171))]
)
def test_size_is_one_number_or_height_x_width(text, size):
    assert parse_size(text) == size


@pytest.mark.parametrize("text", ["0", 0, "1", "-5", "big", "", "12x", "1x2x3", "64x0"])
def test_a_size_that_is_none_is_refused_with_examples(text):
    with pytest.raises(ConfigError) as refusal:
        DataConfig(size=text)
    assert f"data.size is {str(text)!r}" in str(refusal.value)
    assert "such as 112 or 128x171" in str(refusal.value)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: DataConfig(frames=0), "data.frames is 0. Use 1 or more."),
        (lambda: DataConfig(frames="x"), "data.frames is 'x'. Use a whole number."),
        (lambda: DataConfig(frames=True), "data.frames is True. Use a whole number."),
        (lambda: DataConfig(flip="no"), "data.flip is 'no'. Use true or false."),
        (lambda: DataConfig(rate_fps=0), "data.rate_fps is 0. Use a rate above 0."),
        (lambda: DataConfig(stride=0), "data.stride is 0. Use 1 or more."),
        (lambda: DataConfig(rate_fps=math.inf), "data.rate_fps is inf. Use a number."),
        (lambda: DataConfig(workers=-1), "data.workers is -1. Use auto, 0 or more."),
        (lambda: DataConfig(workers="all"), "data.workers is 'all'. Use a whole number or auto."),
        (lambda: DataConfig(val_share=1), "data.val_share is 1. Use a share between 0 and 0.9."),
        (lambda: DataConfig(fold=0), "data.fold is 0. Use 1 or more."),
        (
            lambda: ModelConfig(temporal="lsmt"),
            "model.temporal is 'lsmt'. Use one of: none, rnn, lstm, gru, mingru, minlstm, "
            "convlstm, convgru, tcn.",
        ),
        (
            lambda: ModelConfig(temporal="convlstm", kernel=4),
            "model.kernel is 4. Use 1, 3, 5, ... with convlstm.",
        ),
        (
            lambda: ModelConfig(temporal="convgru", kernel=-1),
            "model.kernel is -1. Use 1, 3, 5, ... with convgru.",
        ),
        (lambda: ModelConfig(temporal="tcn", kernel=1), "model.kernel is 1. Use 2 or more."),
        (lambda: ModelConfig(width=0), "model.width is 0. Use a scale above 0."),
        (lambda: ModelConfig(dropout=1), "model.dropout is 1. Use a share from 0 to below 1."),
        (lambda: TrainConfig(lr=math.nan), "train.lr is nan. Use a number."),
        (lambda: TrainConfig(lr="1e-3"), "train.lr is '1e-3'. Use a number."),
        (lambda: TrainConfig(epochs=0), "train.epochs is 0. Use 1 or more."),
        (lambda: TrainConfig(accumulate=0), "train.accumulate is 0. Use 1 or more."),
        (
            lambda: TrainConfig(ema=1),
            "train.ema is 1. Use 0, or a decay below 1 such as 0.999.",
        ),
        (
            lambda: TrainConfig(epochs=5, unfreeze_after=5),
            "train.unfreeze_after is 5. Use fewer than the 5 of train.epochs, or 0 to keep the "
            "encoder frozen.",
        ),
        (lambda: TrainConfig(encoder_lr=0), "train.encoder_lr is 0. Use a factor above 0."),
        (lambda: TrainConfig(l1=-1), "train.l1 is -1. Use 0 or more."),
        (lambda: TrainConfig(l1_head=-1), "train.l1_head is -1. Use 0 or more."),
        (
            lambda: TrainConfig(weight_decay_encoder=-1),
            "train.weight_decay_encoder is -1. Use 0 or more.",
        ),
        (
            lambda: TrainConfig(chunk=1),
            "train.chunk is 1. Use 2 frames or more, or 0 to take clips whole.",
        ),
        (
            lambda: TrainConfig(mixup=-1),
            "train.mixup is -1. Use 0, or an alpha above 0 such as 0.2.",
        ),
        (
            lambda: TrainConfig(patience=2, choose="last"),
            "train.patience is 2 and train.choose is last, but stopping early keeps the best "
            "epoch. Set train.choose best, or train.patience 0.",
        ),
        (
            lambda: TrainConfig(focal_gamma=-3),
            "train.focal_gamma is -3. Use 0 or more.",
        ),
        (
            lambda: TrainConfig(class_beta=1),
            "train.class_beta is 1. Use 0 to below 1, as 0.999.",
        ),
        (lambda: EvalConfig(clips=0), "eval.clips is 0. Use 1 or more."),
        (lambda: RunConfig(seed=-1), "seed is -1. Use a number from 0 to 4294967295."),
        (lambda: RunConfig(data={"frames": 3}), "data is {'frames': 3}. Use a DataConfig."),
    ],
)
def test_a_wrong_value_is_refused_at_construction_with_what_to_use(make, message):
    with pytest.raises(ConfigError) as refusal:
        make()
    assert str(refusal.value) == message


@pytest.mark.parametrize("key", ["bidirectional", "residual", "variational"])
@pytest.mark.parametrize("temporal", ["none", "convlstm", "convgru", "tcn"])
def test_what_recurrent_layers_alone_can_do_is_refused_of_others(key, temporal):
    with pytest.raises(ConfigError) as refusal:
        ModelConfig(temporal=temporal, **{key: True})
    assert str(refusal.value) == (
        f"model.{key} is true but model.temporal is {temporal}. "
        f"Choose rnn, lstm, gru, mingru or minlstm, or leave {key} out."
    )


@pytest.mark.parametrize("kernel", [1, 4])
def test_a_kernel_that_no_part_of_the_network_has_is_no_mistake(kernel):
    """So that a search may draw it for every temporal part."""
    assert ModelConfig(temporal="gru", kernel=kernel).kernel == kernel


def test_every_field_of_every_section_has_a_help_text():
    for config in (RunConfig, *SECTIONS.values()):
        told = [line.strip().partition(":")[0] for line in config.__doc__.splitlines()]
        assert [f.name for f in dataclasses.fields(config) if f.name not in told] == []


@pytest.mark.parametrize(
    ("wrong", "meant"),
    [
        ("data.framse", ["data.frames"]),
        ("epochs", ["train.epochs"]),
        ("data.epochs", ["train.epochs"]),
        ("batch-size", ["train.batch_size"]),
        ("LR", ["train.lr"]),
        ("quite_another_thing", []),
    ],
)
def test_the_nearest_key_is_found_by_its_whole_name_or_its_last_part(wrong, meant):
    keys = [f"{s}.{f.name}" for s, config in SECTIONS.items() for f in dataclasses.fields(config)]
    assert nearest(wrong, keys) == meant


def test_what_may_stand_in_each_field_can_be_said_in_words():
    for config in SECTIONS.values():
        for field in dataclasses.fields(config):
            assert "class" not in allowed_values(field.type)
            assert "typing" not in allowed_values(field.type)


@pytest.mark.parametrize("name", recipe_names())
def test_each_recipe_is_a_whole_valid_config(cliptide, name):
    values = printed_config(cliptide, "x", "--config", name)
    assert RunConfig(**{key: SECTIONS[key](**values[key]) for key in SECTIONS})


def test_print_config_prints_every_key(cliptide):
    values = printed_config(cliptide, "x")
    for section, config in SECTIONS.items():
        assert list(values[section]) == [field.name for field in dataclasses.fields(config)]
    assert values["DATA"] == "x"


def test_a_printed_config_makes_the_same_run_again(cliptide, tmp_path):
    file = tmp_path / "again.yaml"
    words = ["my videos", "--config", "ucf101", "--data.size", "48x64", "--train.lr", "1e-5"]
    first = cliptide("train", *words, "--print_config")
    file.write_text(first.out)
    assert cliptide("train", "--config", file, "--print_config").out == first.out


def test_a_flag_wins_over_a_config_file_wherever_it_stands(cliptide, tmp_path):
    file = tmp_path / "mine.yaml"
    file.write_text("DATA: theirs\ntrain: {epochs: 30}\nmodel: {hidden: 7}\n")
    for words in (
        ["mine", "--config", file, "--train.epochs", "3"],
        ["--train.epochs", "3", f"--config={file}", "mine"],
        ["--train.epochs=3", "mine", "--config", file],
    ):
        values = printed_config(cliptide, *words)
        assert (values["train"]["epochs"], values["DATA"]) == (3, "mine")
        assert values["model"]["hidden"] == 7


def test_data_may_stand_in_the_config_file(cliptide, tmp_path):
    file = tmp_path / "mine.yaml"
    file.write_text("DATA: theirs\n")
    assert printed_config(cliptide, "--config", file)["DATA"] == "theirs"


def test_of_two_config_files_the_later_one_wins(cliptide, tmp_path):
    (tmp_path / "a.yaml").write_text("train: {epochs: 1, lr: 0.1}\n")
    (tmp_path / "b.yaml").write_text("train: {epochs: 2}\n")
    words = ["x", "--config", tmp_path / "a.yaml", "--config", tmp_path / "b.yaml"]
    train = printed_config(cliptide, *words)["train"]
    assert (train["epochs"], train["lr"]) == (2, 0.1)


def test_numbers_in_yaml_are_taken_as_people_write_them(cliptide, tmp_path):
    file = tmp_path / "mine.yaml"
    file.write_text("data: {size: 112, rate_fps: 5}\ntrain: {lr: 1e-3, warmup_epochs: 0}\n")
    values = printed_config(cliptide, "x", "--config", file)
    assert (values["data"]["size"], values["data"]["rate_fps"]) == (112, 5.0)
    assert (values["train"]["lr"], values["train"]["warmup_epochs"]) == (0.001, 0.0)


def test_an_empty_config_file_changes_nothing(cliptide, tmp_path):
    (tmp_path / "empty.yaml").write_text("# nothing yet\n")
    assert printed_config(cliptide, "x", "--config", tmp_path / "empty.yaml") == printed_config(
        cliptide, "x"
    )


def test_a_config_file_of_a_windows_editor_is_read(cliptide, tmp_path):
    (tmp_path / "bom.yaml").write_bytes(b"\xef\xbb\xbfseed: 5\r\n")
    assert printed_config(cliptide, "x", "--config", tmp_path / "bom.yaml")["seed"] == 5


@pytest.mark.parametrize(
    ("text", "messages"),
    [
        ("data: {framse: 3}", ["no key 'data.framse'", "Nearest: data.frames"]),
        ("modle: {encoder: tiny}", ["no key 'modle'", "Nearest: model"]),
        ("epochs: 3", ["no key 'epochs'", "Nearest: train.epochs"]),
        ("xyzzy: 3", ["no key 'xyzzy'", "--print_config prints all"]),
        ("data: [1,\n  2", ["line 2 is no YAML", "key: value"]),
        ("data: {a: b: c}", ["line 1 is no YAML", "key: value"]),
        ("just words", ["holds 'just words' and no keys", "key: value"]),
        ("data:\nseed: 1", ["the section data is empty", "or remove it"]),
        ("data: 3", ["the section data is 3", "Write its keys below it"]),
        ("data: {frames: many}", ["data.frames is 'many'", "Use a whole number"]),
        ("model: {temporal: lsmt}", ["model.temporal is 'lsmt'", "one of: none, rnn, lstm, gru"]),
        ("train: {epochs: 0}", ["train.epochs is 0", "Use 1 or more"]),
        ("data: {size: 0}", ["data.size is '0'", "such as 112 or 128x171"]),
    ],
)
def test_a_wrong_config_file_is_answered_with_the_place_and_the_mend(
    cliptide, tmp_path, text, messages
):
    (tmp_path / "wrong.yaml").write_text(text)
    result = cliptide("train", tmp_path, "--config", tmp_path / "wrong.yaml")
    assert result.code == 2
    assert len(result.err.splitlines()) == 1
    for message in messages:
        assert message in result.err


def test_a_config_file_that_is_no_text_is_refused(cliptide, tmp_path):
    (tmp_path / "wrong.yaml").write_bytes(b"\xff\xfe\x00")
    result = cliptide("train", tmp_path, "--config", tmp_path / "wrong.yaml")
    assert (result.code, "is no YAML: it is not UTF-8 text" in result.err) == (2, True)


@pytest.mark.parametrize(
    ("name", "mend"),
    [("ucf11", "Nearest: ucf101."), ("nope/mine.yaml", "Recipes: audio-gru, cnn-gru, convlstm,")],
)
def test_a_config_that_is_no_file_and_no_recipe_is_refused(cliptide, name, mend):
    result = cliptide("train", "x", "--config", name)
    assert result.code == 2
    assert f"--config {name!r} is neither a file nor a recipe. {mend}" in result.err
