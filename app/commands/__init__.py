"""Every command: what it takes, and what it runs, which is imported only then."""

from cliptide.app.commands import (
    check,
    compare,
    demo,
    evaluate,
    export,
    predict,
    report,
    serve,
    train,
    tune,
    watch,
)

COMMANDS = {
    "demo": demo.COMMAND,
    "train": train.COMMAND,
    "tune": tune.COMMAND,
    "evaluate": evaluate.COMMAND,
    "compare": compare.COMMAND,
    "report": report.COMMAND,
    "predict": predict.COMMAND,
    "watch": watch.COMMAND,
    "export": export.COMMAND,
    "serve": serve.COMMAND,
    "check": check.COMMAND,
}
