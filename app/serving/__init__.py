"""`cliptide serve`: a model behind HTTP and WebSocket, for programs and, by its page, for people.

    request -> keys, admission -> uploads or fetching -> pool (decoding, in processes)
            -> batching (one thread a model) -> answer

Nothing of a request outlives it: uploads have no name on disk, and a process that decodes can be
killed at any time.
"""

from importlib.util import find_spec

from cliptide.configs.errors import InputError

# Not imported here: the processes that decode import this package too, and need none of them.
_NEEDED = ("fastapi", "uvicorn", "python_multipart", "websockets", "prometheus_client")

if _missing := [name for name in _NEEDED if find_spec(name) is None]:
    raise InputError(
        f"cliptide serve needs {', '.join(_missing)}. Install with: pip install 'cliptide[serve]'"
    )
