"""Temporal-conditioning spiking latent variable models of the retina."""

from toolkit.retina.tecos.losses import mmd, psp, single_trial
from toolkit.retina.tecos.model import TeCoS
from toolkit.retina.tecos.neurons import lif

__all__ = ["TeCoS", "lif", "mmd", "psp", "single_trial"]
