"""What all routes of one server share."""

from collections.abc import Mapping
from dataclasses import dataclass, field

from cliptide.app.serving.admission import Admission
from cliptide.app.serving.errors import ApiError
from cliptide.app.serving.limits import Limits
from cliptide.app.serving.metrics import Metrics
from cliptide.app.serving.pool import DecoderPool
from cliptide.app.serving.served import ServedModel
from cliptide.configs.checks import nearest


@dataclass
class Serving:
    """A server's parts.

    Attributes:
        models: By name, the default first.
        pool: Reads videos.
        admission: Lets requests in.
        metrics: Counts.
        limits: What one request may cost.
        key: The API key; None lets all in.
        allowed_urls: Beginnings of the addresses that are fetched from.
        is_ready: Whether it serves.
    """

    models: Mapping[str, ServedModel]
    pool: DecoderPool
    admission: Admission
    metrics: Metrics
    limits: Limits
    key: str | None = None
    allowed_urls: tuple[str, ...] = ()
    is_ready: bool = field(default=False)

    async def start(self) -> None:
        """Start the workers, and run each model once: the first time takes longer.

        Raises:
            CliptideError: The workers cannot be started.
        """
        await self.pool.start()
        for model in self.models.values():
            model.batcher.start()
            await model.warm_up()
        self.is_ready = True

    async def close(self) -> None:
        """End all that was started; what is still in work is left."""
        self.is_ready = False
        for model in self.models.values():
            await model.batcher.close()
        await self.pool.close()

    def model(self, name: str | None) -> ServedModel:
        """The model of a name; the first where there is none.

        Raises:
            ApiError: There is no such model.
        """
        if name is None:
            return next(iter(self.models.values()))
        if name not in self.models:
            near = ", ".join(nearest(name, self.models) or self.models)
            raise ApiError(404, "no_such_model", f"There is no model {name[:80]!r}. Use: {near}.")
        return self.models[name]
