from collections.abc import Callable
from pathlib import Path

import pytest

from tumorlens.errors import ConfigError
from tumorlens.model import network_names
from tumorlens.preprocess import Preprocessing
from tumorlens.training.config import RECIPES, TrainConfig, describe_settings, parse_settings, read_config, write_config


@pytest.fixture
def make_yaml(tmp_path: Path) -> Callable[[str | bytes], Path]:
    def make(text: str | bytes) -> Path:
        path = tmp_path / "settings.yaml"
        path.write_bytes(text if isinstance(text, bytes) else text.encode())
        return path

    return make


def test_nothing_given_is_the_defaults() -> None:
    assert read_config(None, {}) == TrainConfig()
    assert TrainConfig().preprocessing == Preprocessing()


def test_an_empty_file_is_the_defaults(make_yaml: Callable[[str | bytes], Path]) -> None:
    assert read_config(make_yaml("# nothing yet\n"), {}) == TrainConfig()


def test_flags_go_before_the_file(make_yaml: Callable[[str | bytes], Path]) -> None:
    path = make_yaml("epochs: 7\nbatch_size: 8\npreprocessing: {size: 32, channels: 3}\noptions: {hidden: 16}\n")
    changes = {"epochs": 9, "name": None, "preprocessing": {"size": 48, "channels": None}, "options": {"depth": 1}}
    config = read_config(path, changes)
    assert (config.epochs, config.batch_size, config.name) == (9, 8, "")
    assert config.preprocessing == Preprocessing(size=48, channels=3)
    assert config.options == {"hidden": 16, "depth": 1}


def test_sections_left_empty_in_the_file(make_yaml: Callable[[str | bytes], Path]) -> None:
    config = read_config(make_yaml("options:\n"), {"options": {"hidden": 3}})
    assert config.options == {"hidden": 3}


@pytest.mark.parametrize(
    ("changes", "problem"),
    [
        ({"epoch": 3}, "epoch: there is no such setting; `tumorlens settings` lists them"),
        ({"preprocessing": {"sizes": 3}}, "preprocessing.sizes: there is no such setting"),
        ({"epochs": "many"}, "epochs: Input should be a valid integer"),
        ({"epochs": 0}, "epochs: Input should be greater than or equal to 1"),
        ({"epochs": 2.5}, "epochs: Input should be a valid integer"),
        ({"learning_rate": -1}, "learning_rate: Input should be greater than 0"),
        ({"learning_rate": 1e3}, "learning_rate: Input should be less than or equal to 1"),
        ({"averaging": 1}, "averaging: Input should be less than 1"),
        ({"batch_size": 1}, "batch_size: Input should be greater than or equal to 2"),
        ({"preprocessing": {"size": 8}}, "preprocessing.size: Input should be greater"),
        ({"preprocessing": {"channels": 2}}, "channels are 1 for greyscale or 3 for RGB"),
        ({"split": "stratified"}, "split: String should match pattern"),
        ({"split": "fold:x"}, "split: String should match pattern"),
        ({"precision": "16"}, "precision: Input should be 'auto', '32' or 'bf16'"),
        ({"preprocessing": 64}, "preprocessing: Input should be a valid dictionary"),
    ],
)
def test_a_wrong_setting_is_named(
    changes: dict[str, int] | dict[str, dict[str, int]] | dict[str, str] | dict[str, float], problem: str
) -> None:
    with pytest.raises(ConfigError) as caught:
        read_config(None, changes)
    assert problem in str(caught.value)
    assert "\n" not in str(caught.value)


def test_all_wrong_settings_are_named_with_their_file(make_yaml: Callable[[str | bytes], Path]) -> None:
    path = make_yaml("epochs: no\nepoch: 3\n")
    with pytest.raises(ConfigError, match=r"settings\.yaml: epochs: .*; epoch: there is no such setting"):
        read_config(path, {})


@pytest.mark.parametrize("text", ["a: [1, 2", b"\xff\xfe\x00", "a: b: c"])
def test_a_file_that_is_no_yaml(make_yaml: Callable[[str | bytes], Path], text: str | bytes) -> None:
    with pytest.raises(ConfigError, match=r"settings\.yaml: cannot be read as YAML") as caught:
        read_config(make_yaml(text), {})
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("text", ["- epochs\n", "forty\n", "3\n"])
def test_a_file_that_holds_no_settings(make_yaml: Callable[[str | bytes], Path], text: str) -> None:
    with pytest.raises(ConfigError, match="holds no settings; write lines such as 'epochs: 40'"):
        read_config(make_yaml(text), {})


def test_a_file_with_numbers_for_names(make_yaml: Callable[[str | bytes], Path]) -> None:
    with pytest.raises(ConfigError, match=r"settings\.yaml: 1: "):
        read_config(make_yaml("1: 2\n"), {})


def test_a_file_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"none\.yaml: cannot be read"):
        read_config(tmp_path / "none.yaml", {})


def test_a_section_that_is_one_value(make_yaml: Callable[[str | bytes], Path]) -> None:
    with pytest.raises(ConfigError, match="options: 5 is one value"):
        read_config(make_yaml("options: 5\n"), {"options": {"hidden": 3}})


def test_settings_on_the_command_line() -> None:
    pairs = ["epochs=3", "options.hidden=32", "options.widths=[8, 16]", "learning_rate=1e-3", "class_weights=false"]
    config = read_config(None, parse_settings([*pairs, "split=fold:2", "name=2024", "cautions=[one, two]"]))
    assert (config.epochs, config.learning_rate, config.class_weights) == (3, 0.001, False)
    assert config.options == {"hidden": 32, "widths": [8, 16]}
    assert (config.split, config.name, config.cautions) == ("fold:2", "2024", ("one", "two"))


@pytest.mark.parametrize("precision", ["32", "bf16", "auto"])
def test_every_precision_can_be_set(precision: str, make_yaml: Callable[[str | bytes], Path]) -> None:
    assert read_config(None, parse_settings([f"precision={precision}"])).precision == precision
    assert read_config(make_yaml(f"precision: {precision}"), {}).precision == precision


@pytest.mark.parametrize("pair", ["epochs", "=3", ""])
def test_a_setting_that_is_no_pair(pair: str) -> None:
    with pytest.raises(ConfigError, match="write it as name=value"):
        parse_settings([pair])


def test_a_setting_that_is_no_yaml() -> None:
    with pytest.raises(ConfigError, match=r"--set options=\[1: the value is no YAML"):
        parse_settings(["options=[1"])


def test_a_setting_inside_a_value() -> None:
    with pytest.raises(ConfigError, match="epochs: 3 is one value"):
        parse_settings(["epochs=3", "epochs.more=4"])


def test_what_is_written_is_read_back(tmp_path: Path) -> None:
    config = TrainConfig(
        options={"widths": [4, 8]}, precision="32", split="fold:3", cautions=("Mixed: sources.",), name="a"
    )
    write_config(config, tmp_path / "config.yaml")
    assert read_config(tmp_path / "config.yaml", {}) == config


def test_every_setting_is_described() -> None:
    described = describe_settings()
    assert [name for name, _, _ in described] == list(TrainConfig.model_fields)
    assert all(meaning for _, _, meaning in described)
    assert {name: default for name, default, _ in described}["epochs"] == "40"


def test_a_network_brings_its_own_defaults_and_what_is_given_goes_before_them() -> None:
    config = read_config(None, {"model": "cnn_lstm_efficientnet", "epochs": 7, "preprocessing": {"channels": 3}})
    recipe = RECIPES["cnn_lstm_efficientnet"]
    assert (config.epochs, config.warp) == (7, recipe["warp"])
    assert config.preprocessing == Preprocessing(size=128, channels=3, intensity="stretch")
    assert read_config(None, {"model": "cnn"}) == TrainConfig(model="cnn")


def test_every_recipe_is_of_a_network_and_valid() -> None:
    assert set(RECIPES) <= set(network_names())
    for name, recipe in RECIPES.items():
        config = TrainConfig(model=name).model_dump(mode="json")
        assert {k: config[k] for k in recipe if k != "preprocessing"} == {
            k: v for k, v in recipe.items() if k != "preprocessing"
        }


def test_a_networks_own_options_stay_where_others_are_given() -> None:
    recipe = RECIPES["cnn_lstm_attention_fast"]["options"]
    config = read_config(None, {"model": "cnn_lstm_attention_fast", "options": {"hidden": 8}})
    assert config.options == {**recipe, "hidden": 8}
    changed = read_config(None, {"model": "cnn_lstm_attention_fast", "options": {"background": 0.1}})
    assert changed.options == {**recipe, "background": 0.1}
