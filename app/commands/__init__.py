"""Every command: what it takes, and what it runs, which is imported only then."""

from cliptide.app.commands import (
    check,
    compare,
    demo,
    evaluate,
    predict,
    report,
    serve,
    train,
    tune,
)

COMMANDS = {
    "demo": demo.COMMAND,
    "train": train.COMMAND,
    "tune": tune.COMMAND,
    "evaluate": evaluate.COMMAND,
    "compare": compare.COMMAND,
    "report": report.COMMAND,
    "predict": predict.COMMAND,
    "serve": serve.COMMAND,
    "check": check.COMMAND,
}
