"""SONATA, the Allen Institute's and the Blue Brain Project's format of networks.

https://github.com/AllenInstitute/sonata; Dai et al. 2020, PLoS Comput Biol 16:e1007696.
"""

from converters.sonata.read import from_sonata
from converters.sonata.spikes import write_spikes
from converters.sonata.tables import SonataTables, sonata_tables
from converters.sonata.write import to_sonata

__all__ = ["SonataTables", "from_sonata", "sonata_tables", "to_sonata", "write_spikes"]
