"""Visual tasks for rate networks: fine orientation, image classification, visual change.

A task says what is shown and what is right; `Batches` makes input rates of it, through an LGN or
straight from pixels, for one task or for all three in one network.

>>> data = Batches(fine_orientation())  # pixels; Batches(task, lgn) through an LGN
>>> batch = next(data.epoch("train", batch_size=16, seed=1))
>>> batch.inputs.shape, batch.targets.shape, int(batch.response[0].sum())
(torch.Size([16, 120, 832]), torch.Size([16]), 10)

Stimuli, timing and answers follow the released code of Chen, Scherr and Maass 2022 (Sci Adv
8:eabq7592); the tasks are those of "A Firing-Rate Neural Network Model for the Primary Visual
Cortex" (2024), which does not say how they were shown.
"""

from toolkit.tasks.batches import Batch, Batches
from toolkit.tasks.canvas import Canvas
from toolkit.tasks.images import image_classification, visual_change
from toolkit.tasks.inputs import LGNInput, MovieInput, PixelInput
from toolkit.tasks.orientation import fine_orientation
from toolkit.tasks.task import Items, Task, movie
from toolkit.tasks.timing import PAIR, SINGLE, Timing

__all__ = [
    "PAIR",
    "SINGLE",
    "Batch",
    "Batches",
    "Canvas",
    "Items",
    "LGNInput",
    "MovieInput",
    "PixelInput",
    "Task",
    "Timing",
    "fine_orientation",
    "image_classification",
    "movie",
    "visual_change",
]
