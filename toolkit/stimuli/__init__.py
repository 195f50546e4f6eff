"""Visual stimuli: movies of contrast over a patch of the visual field.

Every function returns a `Movie`. Contrast is 0 for grey and -1 to 1 for black to white. x is
azimuth (to the right), y is elevation (up), both in degrees from the centre of the patch; frames
have shape (time, y, x) and **row 0 is the lowest elevation**.

>>> trial = grey(duration_ms=500).then(drifting_grating(orientation_deg=45, duration_ms=1000))
>>> trial.duration_ms, trial.frames.shape
(1500.0, (1500, 60, 60))
"""

from toolkit.stimuli.frames import Movie
from toolkit.stimuli.gratings import drifting_grating, static_grating
from toolkit.stimuli.pictures import grey, image, movie

__all__ = ["Movie", "drifting_grating", "grey", "image", "movie", "static_grating"]
