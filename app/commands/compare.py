"""`cliptide compare`: evaluated runs side by side."""

from jsonargparse import Namespace

from cliptide.app.commands.command import Command
from cliptide.app.parsing import Parser


def _add_arguments(parser: Parser) -> None:
    parser.add_argument(
        "RUN", nargs="+", help="Folders of evaluated runs or folds; the first is the reference."
    )
    parser.add_argument(
        "--out",
        type=str | None,
        default=None,
        help="Folder to write to; runs/compare-<n> by default.",
    )
    parser.add_argument(
        "--overwrite", action="store_true", help="Replace an earlier comparison in --out."
    )
    parser.add_argument("--seed", type=int, default=0, help="Seed of the bootstrap.")


def _run(parser: Parser, args: Namespace) -> int:
    from cliptide.app.comparison_tables import show_comparison
    from cliptide.app.evaluation.compare_folders import compare

    show_comparison(compare(args.RUN, out=args.out, overwrite=args.overwrite, seed=args.seed))
    return 0


COMMAND = Command(
    "Put evaluated runs side by side: is one better, and on which samples",
    "cliptide compare RUN RUN... [--out DIR] [--overwrite] [--seed N]",
    _add_arguments,
    _run,
    details="Each run is compared with the first on the samples that all of them scored, by a "
    "paired bootstrap interval and McNemar's test (of numbers: Wilcoxon's), corrected by Holm "
    "for more than two runs.",
)
