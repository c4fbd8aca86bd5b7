"""The split as a table, and a loud word where it leaks."""

from rich.table import Table

from cliptide.app.inference.nouns import Nouns
from cliptide.app.inference.terminal import log, log_console, warn
from cliptide.datasets.catalog import Catalog
from cliptide.datasets.records import SPLITS
from cliptide.datasets.splits import SplitPlan, split_counts, split_sizes
from cliptide.datasets.strata import target_ranges

# A table of hundreds of classes scrolls everything else away.
MOST_ROWS = 30
COLUMNS = {"single": "class", "multi": "label", "regression": "target"}
ORIGINS = {
    "official": "official",
    "manifest": "from the manifest",
    "folders": "from the folders",
    "made": "made by groups",
}


def split_title(catalog: Catalog, plan: SplitPlan) -> str:
    """What was split, by whom, and the fingerprint."""
    fold = f", fold {catalog.fold}" if catalog.fold else ""
    origin = ORIGINS[plan.origin]
    alone = len({record.group for record in plan.records}) == len(plan.records)
    if plan.origin == "made" and alone and not catalog.groups_known:
        origin = f"made here, by {Nouns.of_samples(catalog.samples).record}"
    return f"{catalog.root}: split {origin}{fold}, fingerprint {plan.fingerprint}"


def group_notes(catalog: Catalog) -> tuple[str, ...]:
    """One sentence where no groups are known, else none."""
    if catalog.groups_known:
        return ()
    return (
        f"No groups are known, so like {Nouns.of_samples(catalog.samples).records} may stand in "
        "two splits. Give them with --data.group_regex or a manifest's group column.",
    )


def show_split(catalog: Catalog, plan: SplitPlan) -> None:
    """Print class x split on stderr, the notes, and torn groups."""
    counts = split_counts(plan.records, catalog.class_names, catalog.task)
    title = split_title(catalog, plan)
    table = Table(title=title, title_justify="left", title_style="bold")
    table.add_column(COLUMNS[catalog.task])
    for split in ("train", "val", "test"):
        table.add_column(split, justify="right")
    for row in counts[:MOST_ROWS]:
        table.add_row(row.class_name, str(row.train), str(row.val), str(row.test))
    if len(counts) > MOST_ROWS:
        table.add_row(f"... {len(counts) - MOST_ROWS} more classes", "", "", "")
    if catalog.task == "regression":
        for target in target_ranges(plan.records, catalog.class_names, SPLITS):
            table.add_row(*target)
    table.add_section()
    table.add_row(Nouns.of_samples(catalog.samples).records, *map(str, split_sizes(plan.records)))
    groups = [
        len({record.group for record in plan.records if record.split == split})
        for split in ("train", "val", "test")
    ]
    if plan.groups_known:
        table.add_row("groups", *map(str, groups))
    log_console().print(table)
    for note in (*catalog.notes, *plan.notes, *group_notes(catalog)):
        log(f"Note: {note}")
    if num := len(plan.torn_groups):
        some = ", ".join(plan.torn_groups[:5])
        warn(
            f"LEAKY SPLIT: {num} {'group stands' if num == 1 else 'groups stand'} in both train "
            f"and test ({some}). The score will be too good, and the report says so."
        )
