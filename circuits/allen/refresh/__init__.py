"""The tables with the parameters that the Allen Cell Types Database has now.

``striate data refresh`` at the command line. The database is asked through allensdk, which pins
older packages and so lives in an environment of its own: it is never imported here, a child
process of its interpreter runs ``ask.py``.

    environment   finds or makes that interpreter
    database      asks, through a child process, with time limits and repetition
    answers       what is wanted, from the cache or the database, checked
    convert       SI units and factors to the tables' parameters
    compare       what is different from the bundled tables
    tables        the folder that `circuits.allen.load` reads
"""

from circuits.allen.refresh.database import Unreachable
from circuits.allen.refresh.environment import find_interpreter, make_environment
from circuits.allen.refresh.tables import Refreshed, refresh_tables

__all__ = ["Refreshed", "Unreachable", "find_interpreter", "make_environment", "refresh_tables"]
