"""Data sets for tasks and for models of the retina: fetching, checking, loading.

The loaders read the published files, as `fetch` (or ``striate data fetch``) brings them, and
arrays prepared from them, from one folder: ``STRIATE_DATA``, else a cache of the user's. What was
read is said in the ``form``, ``source`` and ``files`` of the result. Nothing is fetched unasked
and nothing is unpickled.

>>> data_set("cifar10").licence
'no formal licence; the authors ask to be cited'
"""

from toolkit.datasets.fetching import fetch
from toolkit.datasets.labelled import LabelledImages
from toolkit.datasets.load_cifar10 import cifar10
from toolkit.datasets.load_mnist import mnist
from toolkit.datasets.load_onken2016 import onken2016, onken2016_stimulus
from toolkit.datasets.recordings import (
    RECORDINGS,
    STIMULI,
    ReceptiveFields,
    RetinaRecording,
    RetinaStimulus,
)
from toolkit.datasets.registry import DataFile, DataSet, data_folder, data_set, data_sets

__all__ = [
    "RECORDINGS",
    "STIMULI",
    "DataFile",
    "DataSet",
    "LabelledImages",
    "ReceptiveFields",
    "RetinaRecording",
    "RetinaStimulus",
    "cifar10",
    "data_folder",
    "data_set",
    "data_sets",
    "fetch",
    "mnist",
    "onken2016",
    "onken2016_stimulus",
]
