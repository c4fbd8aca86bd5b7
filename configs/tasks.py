"""The kinds of label: what a model is asked about each clip.

    single       one of K classes                   label `walk`
    multi        any of K labels, none included     label `walk|wave`
    regression   one or more numbers, the targets   label `3.5` or `1.0|-2.5`

The task stands in the model file, in metrics.json and in predictions.
"""

from typing import Literal

Task = Literal["single", "multi", "regression"]
TASKS: tuple[Task, ...] = ("single", "multi", "regression")

# The score from which on a label of task multi is given, where validation chose no other.
DEFAULT_THRESHOLD = 0.5
