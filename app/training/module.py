"""The training step: what Lightning's Trainer runs.

    batch -> mixed -> chunk by chunk: loss, backward        every batch
          -> clip, step, L1, schedule, moving average       every `accumulate` batches

One explicit step in place of Lightning's own: chunks go backward several times in a batch.
"""

from typing import Any, cast

import torch
from lightning.pytorch import LightningModule
from torch import Tensor, nn
from torch.nn import functional as F
from torch.optim import Optimizer

from cliptide.app.inference.terminal import log
from cliptide.app.training.chunks import score_in_chunks
from cliptide.app.training.figures import FIGURES, WholeSplit
from cliptide.app.training.mixing import lead_in, mix_clips
from cliptide.app.training.optimisation import (
    build_optimizer,
    build_schedule,
    moving_average,
    shrink_weights,
)
from cliptide.configs.errors import CliptideError
from cliptide.configs.tasks import Task
from cliptide.configs.training import TrainConfig
from cliptide.datasets.loaders import Batch
from cliptide.models.encoders.joined import drop_streams
from cliptide.models.late import mean_of_streams
from cliptide.models.recognizer import Recognizer


class ClassifierModule(LightningModule):
    """Training of a recogniser, whatever its task.

    Args:
        network: What learns.
        config: The optimisation.
        seed: Of dropout and mixing, drawn anew each epoch so that a resumed run draws the same.
        num_outputs: K, the number of outputs.
        batches_per_epoch: Batches in an epoch.
        loss: Of a batch's outputs and labels, for training.
        validation_loss: The same without weights and smoothing.
        task: What is learnt.

    Attributes:
        validation: The outputs of the last validation.
    """

    def __init__(
        self,
        network: Recognizer,
        *,
        config: TrainConfig,
        seed: int,
        num_outputs: int,
        batches_per_epoch: int,
        loss: nn.Module,
        validation_loss: nn.Module,
        task: Task = "single",
    ) -> None:
        super().__init__()
        self.automatic_optimization = False
        self.network, self.config, self.seed = network, config, seed
        self.num_outputs, self.batches_per_epoch = num_outputs, batches_per_epoch
        self.average = moving_average(network, decay=config.ema) if config.ema else None
        self.loss, self.validation_loss = loss, validation_loss
        self.task: Task = task
        self.validation = WholeSplit(task)
        self._clips_in_step = 0
        self._step_is_sound = True
        self._sound_steps = self._skipped_steps = 0
        self._has_warned = False

    @property
    def judged(self) -> Recognizer:
        """The network that is validated and saved: the moving average, where there is one."""
        return self.network if self.average is None else cast(Recognizer, self.average.module)

    def configure_optimizers(self) -> Any:
        """The optimiser, and its schedule over the steps."""
        optimizer = build_optimizer(self.network, self.config)
        schedule = build_schedule(optimizer, self.config, batches_per_epoch=self.batches_per_epoch)
        return {"optimizer": optimizer, "lr_scheduler": schedule}

    def on_train_epoch_start(self) -> None:
        """Make what is random in a step depend on (seed, epoch) alone; unfreeze when it is time."""
        torch.manual_seed(self.seed * 1_000_003 + self.current_epoch)
        self._sound_steps = self._skipped_steps = 0
        after = self.config.unfreeze_after
        if after and self.current_epoch >= after and self.network.freeze_encoder:
            self.network.unfreeze()
            log(f"From epoch {self.current_epoch + 1} on the encoder learns too")

    def training_step(self, batch: Batch, batch_idx: int) -> dict[str, Tensor] | None:
        """Learn from a batch, and give its loss and, for single labels, its top-1.

        One of unreadable videos alone is passed over.

        Every `accumulate` batches, and at the epoch's end, the weights make a step.
        """
        figures = self._learn(batch) if len(batch.lengths) else None
        is_last = batch_idx + 1 == self.batches_per_epoch
        if self._clips_in_step and (is_last or (batch_idx + 1) % self.config.accumulate == 0):
            with self._full_precision():
                self._step()
        return figures

    def _learn(self, batch: Batch) -> dict[str, Tensor]:
        """Add the gradients of a batch, chunk by chunk.

        Of several batches in a step each weighs by its clips, so that they learn as one batch of
        them all would; with class weights nearly so, as each batch is averaged by its own.
        """
        count = len(batch.lengths)
        weight = count / self.config.batch_size if self.config.accumulate > 1 else 1.0
        clips, targets = self._mixed(batch)
        lengths = batch.lengths
        num_streams = len(self.network.streams.names)
        if self.config.modality_dropout and num_streams > 1:
            clips = drop_streams(clips, num_streams=num_streams, share=self.config.modality_dropout)
        if self.config.lead_in:
            clips, lengths = lead_in(
                clips, lengths, share=self.config.lead_in, num_streams=num_streams
            )
        loss = torch.zeros((), device=self.device)
        logits = torch.empty(0)
        for scored in score_in_chunks(
            self.network, clips, lengths, chunk=self.config.chunk, encoded=batch.encoded
        ):
            logits, active = scored.logits, scored.active
            part = self.loss(logits[active], targets[active]) * scored.share
            with self._full_precision():
                self.manual_backward(part * weight)
            loss += part.detach()
        self._clips_in_step += count
        return {"loss": loss, **self._log_figures("train", batch, logits.detach(), loss)}

    def _full_precision(self) -> torch.autocast:
        """Leave autocast, which Lightning opens around the whole of a step.

        It is for forward passes alone: a backward pass takes its formats from them.
        """
        return torch.autocast(self.device.type, enabled=False)

    def _mixed(self, batch: Batch) -> tuple[Tensor, Tensor]:
        """Clips and targets of a batch: its labels, or (B, K) shares of the classes where mixed."""
        config = self.config
        if not (config.mixup or config.cutmix):
            return batch.clips, batch.labels
        shares = batch.labels
        if self.task == "single":
            shares = F.one_hot(shares, self.num_outputs).float()
        return mix_clips(
            batch.clips, batch.lengths, shares, mixup=config.mixup, cutmix=config.cutmix
        )

    def _step(self) -> None:
        optimizer = cast(Optimizer, self.optimizers())
        optimizer.step()  # calls `on_before_optimizer_step` first
        if self._step_is_sound:
            shrink_weights(optimizer)
            cast(Any, self.lr_schedulers()).step()
            if self.average is not None:
                self.average.update_parameters(self.network)
        optimizer.zero_grad()
        self._clips_in_step = 0

    def on_before_optimizer_step(self, optimizer: Optimizer) -> None:
        """Clip the gradient, behind fp16's unscaling, and log its norm before that.

        Pascanu et al. (2013), section 3.2. A gradient that is no number is dropped and counted.
        """
        learning = [
            parameter
            for group in optimizer.param_groups
            for parameter in group["params"]
            if parameter.grad is not None
        ]
        if self.config.accumulate > 1:
            for parameter in learning:
                parameter.grad.mul_(self.config.batch_size / self._clips_in_step)
        norm = torch.nn.utils.clip_grad_norm_(learning, self.config.clip_grad or float("inf"))
        self._step_is_sound = bool(norm.isfinite())
        if self._step_is_sound:
            self._sound_steps += 1
            self.log("grad_norm", norm, on_step=True, on_epoch=True, batch_size=1)
            self.log("grad_norm_max", norm, on_step=False, on_epoch=True, reduce_fx="max")
        else:
            # Without gradients the optimiser leaves every weight, and its moments, alone.
            optimizer.zero_grad(set_to_none=True)
            self._skipped_steps += 1
            self._warn_once()
        self.log("lr", optimizer.param_groups[0]["lr"], on_step=True, on_epoch=True, batch_size=1)

    def _warn_once(self) -> None:
        # With fp16 it is how the scaler finds its scale.
        if not (self._has_warned or self.trainer.precision == "16-mixed"):
            self._has_warned = True
            log(
                f"Warning: a gradient in epoch {self.current_epoch + 1} is no number; its step is "
                "left out and counted (history.csv, skipped_steps). Should there be many: a "
                "smaller --train.lr or --train.clip_grad, or --train.precision fp32."
            )

    @property
    def skipped_steps(self) -> int:
        """Steps of this epoch that were left out: their gradient was no number."""
        return self._skipped_steps

    def on_train_epoch_end(self) -> None:
        """End a training that learns nothing any more.

        Raises:
            CliptideError: Not one gradient of the epoch was a number.
        """
        scaler = getattr(self.trainer.precision_plugin, "scaler", None)
        is_seeking_scale = scaler is not None and scaler.get_scale() > 1
        if self._skipped_steps and not self._sound_steps and not is_seeking_scale:
            raise CliptideError(
                f"No gradient of epoch {self.current_epoch + 1} is a number (NaN or infinite in "
                f"all {self._skipped_steps} steps): the training diverged. Train again with a "
                f"smaller --train.lr (now {self.config.lr:g}) or --train.clip_grad (now "
                f"{self.config.clip_grad:g}), or --train.precision fp32."
            )

    def on_validation_epoch_start(self) -> None:
        """Forget the outputs of the epoch before."""
        self.validation.clear()

    def validation_step(self, batch: Batch, batch_idx: int) -> None:
        """Loss of a validation batch, and what the figure of the whole split is made of."""
        if len(batch.clips):
            *_, last = score_in_chunks(
                self.judged,
                batch.clips,
                batch.lengths,
                chunk=self.config.chunk,
                encoded=batch.encoded,
            )
            loss = self.validation_loss(last.logits, batch.labels)
            self._log_figures("val", batch, last.logits, loss)
            self.validation.add(last.logits, batch.labels)

    def on_validation_epoch_end(self) -> None:
        """The figure of the whole split, mAP or R2; none where it is undefined."""
        key, figure = f"val_{FIGURES[self.task].key}", self.validation.figure()
        if figure is not None:
            self.log(key, figure)
        elif self.task != "single":
            # Lightning would show the figure of an earlier epoch as this one's.
            self.trainer.callback_metrics.pop(key, None)

    def _log_figures(
        self, split: str, batch: Batch, logits: Tensor, loss: Tensor
    ) -> dict[str, Tensor]:
        """Log loss and top-1; of mixed clips, against the label of which they show most."""
        figures = {}
        if logits.ndim == 3:  # late fusion in training: each stream by itself
            logits = mean_of_streams(logits)
        if self.task == "single":
            figures["top1"] = (logits.argmax(dim=1) == batch.labels).float().mean()
        self.log_dict(
            {f"{split}_loss": loss.detach()}
            | {f"{split}_{key}": value for key, value in figures.items()},
            on_step=False,
            on_epoch=True,
            batch_size=len(batch.labels),
        )
        return figures
