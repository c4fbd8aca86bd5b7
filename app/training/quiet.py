"""Lightning without its advertisements, and without its advice on choices made on purpose."""

import logging
import warnings
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def quiet_lightning() -> Iterator[None]:
    """Keep Lightning's advertisements and its advice on choices made on purpose off the screen."""
    logger = logging.getLogger("lightning.pytorch")
    level = logger.level
    logger.setLevel(logging.ERROR)
    try:
        with warnings.catch_warnings():
            # The number of workers is chosen for the machine; short epochs log once.
            warnings.filterwarnings("ignore", message=".*does not have many workers.*")
            warnings.filterwarnings("ignore", message=".*number of training batches.*")
            # A frozen encoder stays in evaluation mode on purpose.
            warnings.filterwarnings("ignore", message=".*in eval mode at the start of training.*")
            # Lightning's own use of torch.
            warnings.filterwarnings("ignore", message=".*LeafSpec.*is deprecated.*")
            yield
    finally:
        logger.setLevel(level)
