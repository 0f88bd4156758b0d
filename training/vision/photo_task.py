"""A task that trains one network on random views of stored photographs."""

from torch import Tensor

from training.seeding import Stream, make_generator
from training.single_task import ConfigT, ModelT, SingleModelTask
from training.vision.config import PhotoDataConfig
from training.vision.views import draw_crops, draw_jitter, random_views


class PhotoTask(SingleModelTask[ConfigT, ModelT]):
    """Gives each step its views, whose side grows over the run as ``PhotoDataConfig`` says."""

    def views(self, step: int, images: Tensor, data: PhotoDataConfig) -> Tensor:
        """Standardised float32 [B, 3, side, side] of this process's ``images`` at ``step``.

        Crops and colours are drawn for the joint batch, so that several processes see those that
        one would.

        Args:
            step: number of the update, from 0.
            images: uint8 [B, 3, H, W], the pictures of ``batch_rows(step)``.
            data: crops, and sides for equal shares of the epochs.
        """
        generator = make_generator(self._config.run.seed, Stream.AUGMENT, step)
        maps = draw_crops(data.crop, data.batch_size, generator)[self._slice]
        jitter = draw_jitter(data.crop, data.batch_size, generator)[self._slice]
        epoch = step // self.plan.steps_per_epoch
        side = data.sides[epoch * len(data.sides) // self.plan.epochs]
        return self.in_format(random_views(images.to(self._runtime.device), maps, jitter, side))
