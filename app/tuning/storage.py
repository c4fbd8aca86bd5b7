"""Where a study lies: a SQL database, given as Optuna's storage URL.

    sqlite:///study.db      postgresql://user:password@host/name

A password never leaves this file: messages, pages and markers show `***` in its place.
"""

import re
import time
import warnings
from collections.abc import Callable
from typing import Any

import optuna
from optuna.trial import FrozenTrial
from sqlalchemy.exc import ArgumentError, IntegrityError, NoSuchModuleError, SQLAlchemyError

from cliptide.configs.errors import InputError

HEARTBEAT_S = 60
DEAD_AFTER_S = 300
_CREATE_TRIES = 10

# What is installed for the module that a database's URL asks for, where it is called otherwise.
_PACKAGES = {
    "MySQLdb": "mysqlclient",
    "psycopg": "psycopg[binary]",
    "psycopg2": "psycopg2-binary",
}


def without_password(url: str) -> str:
    """A storage URL that may be shown: `***` stands where its password was."""
    # Up to the last @: in a URL that is not quoted as it should be, a password may hold one.
    shown = re.sub(r"(://[^:/@]*):.*@", r"\1:***@", url)
    return re.sub(r"([?&][^=&]*passw[^=&]*=)[^&]*", r"\1***", shown, flags=re.IGNORECASE)


def create_or_load(
    url: str,
    *,
    name: str,
    pruner: optuna.pruners.BasePruner,
    when_dead: Callable[[optuna.Study, FrozenTrial], None],
) -> optuna.Study:
    """Open a study, or make it.

    Args:
        url: An Optuna storage URL.
        name: Of the study in its storage.
        pruner: What ends trials early.
        when_dead: Called for a trial whose heartbeat has been missing for `DEAD_AFTER_S`.

    Raises:
        InputError: The URL is none, its driver is not installed, or the storage cannot be reached.
    """
    shown = without_password(url)
    # Others may hold a SQLite file for a moment; not minutes, as no transaction is long.
    options = {"connect_args": {"timeout": 60}} if url.startswith("sqlite") else {}
    for left in reversed(range(_CREATE_TRIES)):
        try:
            with warnings.catch_warnings():
                # Heartbeats are marked as experimental since 2021.
                warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)
                storage = optuna.storages.RDBStorage(
                    url,
                    engine_kwargs=options,
                    heartbeat_interval=HEARTBEAT_S,
                    grace_period=DEAD_AFTER_S,
                    heartbeat_stale_trial_callback=when_dead,
                )
            return optuna.create_study(
                storage=storage,
                study_name=name,
                direction="maximize",
                pruner=pruner,
                load_if_exists=True,
            )
        # A port that is no number is a plain ValueError.
        except (ArgumentError, NoSuchModuleError, ValueError) as error:
            raise InputError(
                f"--study {shown!r} is no storage URL. Use one such as sqlite:///study.db, "
                "postgresql://user:password@host/name or mysql://user:password@host/name: a SQL "
                "database, not Redis or a journal file."
            ) from error
        except ImportError as error:
            raise InputError(_needs_driver(shown, error)) from error
        except (SQLAlchemyError, optuna.exceptions.StorageInternalError, RuntimeError) as error:
            # Two processes that make the tables of one new database meet each other there.
            met = isinstance(error, RuntimeError) or any(
                isinstance(one, IntegrityError) or "already exists" in str(one)
                for one in (error, error.__cause__)
            )
            if not left or not met:
                raise InputError(
                    f"The study's storage {shown} cannot be opened: {_first_line(error)}. Mend "
                    "that, or give another with --study."
                ) from error
            time.sleep(0.3)
    raise AssertionError("the last try returns or raises")


def settings_in(url: str, *, name: str) -> Any:
    """The settings that a study was begun with.

    Returns:
        What `settings_of` gave; {} for a study that was killed before it had any, or a storage
        without studies; None where there is no such study.
    """
    try:
        summaries = optuna.get_all_study_summaries(url)
    except (SQLAlchemyError, optuna.exceptions.StorageInternalError, RuntimeError):
        return None  # a database of something else, or of another version
    found = {one.study_name: one.user_attrs.get("settings", {}) for one in summaries}
    return found.get(name) if found else {}


def _needs_driver(shown: str, error: ImportError) -> str:
    # Optuna's own error names no package; the one that caused it does.
    cause = error.__cause__ if isinstance(error.__cause__, ImportError) else error
    module = (cause.name or "").partition(".")[0]
    if not module:
        return f"--study {shown!r} needs a database driver that cannot be imported: {cause}."
    package = _PACKAGES.get(module, module)
    return (
        f"--study {shown!r} needs the package {module}, which is not installed. Install it with: "
        f"pip install '{package}'"
    )


def _first_line(error: BaseException) -> str:
    cause = error.__cause__ or error
    return str(getattr(cause, "orig", None) or cause).strip().splitlines()[0].rstrip(".")
