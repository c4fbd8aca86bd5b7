"""`cliptide export`: a model as files that other programs run."""

from jsonargparse import Namespace

from cliptide.app.commands.arguments import require_data
from cliptide.app.commands.command import Command
from cliptide.app.parsing import Parser


def _add_arguments(parser: Parser) -> None:
    parser.add_argument("MODEL", help="A model.safetensors from a run folder.")
    parser.add_argument(
        "--format",
        default="onnx",
        help="onnx, for ONNX Runtime and others; torch, for torch.export.load.",
    )
    parser.add_argument(
        "--out",
        type=str | None,
        default=None,
        help="Folder to write to; <model>-<format> beside the model by default.",
    )
    parser.add_argument(
        "--overwrite", action="store_true", help="Replace an earlier export in that folder."
    )
    parser.add_argument(
        "--quantize",
        type=str | None,
        default=None,
        help="int8 keeps weights in 8 bits: smaller files, somewhat other numbers.",
    )
    parser.add_argument(
        "--data",
        type=str | None,
        default=None,
        metavar="DATA",
        help="Data set on whose test split --quantize is measured.",
    )


def _run(parser: Parser, args: Namespace) -> int:
    if args.data is not None:
        require_data(args.data)

    from cliptide.app.export.packages import require_packages

    require_packages(args.format)

    from cliptide.app.export.export import export
    from cliptide.app.export_tables import show_export

    exported = export(
        args.MODEL,
        format=args.format,
        out=args.out,
        overwrite=args.overwrite,
        quantize=args.quantize,
        data=args.data,
    )
    show_export(exported)
    return 0


COMMAND = Command(
    "Write a model as ONNX or torch.export graphs, checked against PyTorch",
    "cliptide export MODEL [--format onnx|torch] [--out DIR] [--quantize int8 [--data DATA]]",
    _add_arguments,
    _run,
    details="Each graph holds for any number of clips and frames. It is run over several batches "
    "and lengths, and nothing is written where a number differs from PyTorch's by more than 1e-4.",
)
