"""`cliptide tune`: which config is best on the validation clips, by random search or TPE."""

from cliptide.configs.errors import InputError

try:
    import optuna as optuna
except ModuleNotFoundError as error:
    raise InputError(
        "cliptide tune needs Optuna. Install it with: pip install 'cliptide[tune]'"
    ) from error
