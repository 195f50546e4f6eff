"""Movies as a moving eye sees photographs."""

from __future__ import annotations

import numpy as np

from toolkit.errors import DataError, InputError, require
from toolkit.rng import stream
from toolkit.tasks.pictures import RGB_TO_GREY

PHOTOGRAPHS = ("china.jpg", "flower.jpg")  # 427 x 640 pixels, in scikit-learn
AVERAGED = 4  # pixels of a photograph, in each direction, that one of a frame is the mean of
FIXATION_MS = 200.0  # mean time between saccades, exponential; our choice
DRIFT_PX = 8.0  # SD of a step of drift in each direction, pixels of the photograph; our choice
MEAN, SD = 127.0, 60.0  # grey values of a photograph, as those of the recorded movies (126, 60)


def eye_movement_movie(
    n_frames: int, *, frame_ms: float = 30.0, side: int = 40, seed: int = 0
) -> np.ndarray:
    """Photographs in scikit-learn through an eye that drifts and jumps, uint8 (frame, y, x).

    Between saccades, which come at random to a random place of a random photograph, the eye moves
    by independent Gaussian steps and is reflected at the border. Pixels are means of 4 x 4 of the
    photograph, so that drift is finer than a pixel.

    Parameters
    ----------
    n_frames : number of frames
    frame_ms : duration of one
    side : pixels, up to 106
    seed : stream (seed, "eye movements")

    Raises
    ------
    InputError : no frames or pixels, or more pixels than a photograph has
    MissingDependency : scikit-learn is not installed

    Examples
    --------
    >>> eye_movement_movie(5, side=20, seed=1).shape
    (5, 20, 20)
    """
    pictures = _photographs()
    room = np.array(pictures.shape[1:]) - side * AVERAGED
    if n_frames < 1 or not 0 < frame_ms < np.inf or side < 1 or room.min() < 1:
        raise InputError(
            f"a movie needs 1 or more frames of more than 0 ms and 1 to "
            f"{(min(pictures.shape[1:]) - 1) // AVERAGED} pixels a side, got {n_frames} frames of "
            f"{frame_ms} ms, {side} pixels"
        )
    rng = stream(seed, "eye movements")
    jumps = rng.random(n_frames) < -np.expm1(-frame_ms / FIXATION_MS)
    jumps[0] = True
    fixation = np.cumsum(jumps) - 1
    which = rng.integers(len(pictures), size=fixation[-1] + 1)[fixation]
    landing = (rng.random((fixation[-1] + 1, 2)) * room)[fixation]
    path = np.cumsum(rng.normal(0, DRIFT_PX, (n_frames, 2)), axis=0)
    path = landing + path - path[np.flatnonzero(jumps)][fixation]
    path = room - np.abs(path % (2 * room) - room)  # reflected at 0 and at `room`
    corner = np.rint(path).astype(int)
    frames = np.empty((n_frames, side, side), dtype=np.uint8)
    for frame, picture, (y, x) in zip(frames, which, corner, strict=True):
        cut = pictures[picture, y : y + side * AVERAGED, x : x + side * AVERAGED]
        frame[:] = np.rint(cut.reshape(side, AVERAGED, side, AVERAGED).mean(axis=(1, 3)))
    return frames


def _photographs() -> np.ndarray:
    """Grey values 0 to 255, float32 (picture, y, x), each of mean and SD as above but for ends."""
    require("sklearn", "striate")
    from sklearn.datasets import load_sample_image

    pictures = []
    for name in PHOTOGRAPHS:
        try:
            grey = load_sample_image(name).astype(np.float32) @ np.array(RGB_TO_GREY, np.float32)
        except OSError as error:
            raise DataError(f"scikit-learn's photograph {name} cannot be read: {error}") from error
        pictures.append(np.clip(MEAN + SD * (grey - grey.mean()) / grey.std(), 0, 255))
    return np.stack(pictures)
