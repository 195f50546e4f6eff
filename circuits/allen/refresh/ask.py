"""Ask the Allen Cell Types Database through allensdk; runs under an interpreter that has it.

allensdk pins a NumPy and a pandas that are older than the rest of Striate needs. So this file is
run as a program by another interpreter (Python 3.8 or later, allensdk and the standard library)
and talks JSON: its one argument says where and how long to ask, a line of standard input is a
request, a line of standard output the reply to it, either ``{"answer": ...}`` or ``{"problem":
..., "unreachable": true or false}``. The first line is the version of allensdk.

Requests: ``["cells"]`` (what is known of every cell), ``["ephys_features"]`` (of every cell) and
``["glif3", specimen id]`` (the configuration of the cell's GLIF3 model, or null without one).
"""

from __future__ import annotations

import http.client
import json
import signal
import sys
import time
import urllib.error

# Id of the template "3 LIF + Afterspike Currents (LIF-ASC)"; source: allensdk's tests of its API.
GLIF3_TEMPLATE = 395310475
RETRIED_STATUS = (408, 425, 429, 500, 502, 503, 504)


class Problem(Exception):
    """What is wrong, in words, and whether no answer was had at all."""

    def __init__(self, words, unreachable=False):
        super().__init__(words)
        self.unreachable = unreachable


class TooLate(Exception):
    """The time for one answer is over."""


def _too_late(*_):
    raise TooLate


class Client:
    """The three questions, each asked again where that may help."""

    def __init__(self, url, timeout_s, attempts, backoff_s):
        from allensdk.api.queries.cell_types_api import CellTypesApi
        from allensdk.api.queries.glif_api import GlifApi

        self.cell_types, self.glif = CellTypesApi(url), GlifApi(url)
        self.timeout_s, self.attempts, self.backoff_s = timeout_s, attempts, backoff_s

    def cells(self):
        """Line, area, layer and reporter status of every cell of the database."""
        return _records(self._ask(self.cell_types.list_cells_api))

    def ephys_features(self):
        """The electrophysiological features of every cell."""
        return _records(self._ask(self.cell_types.get_ephys_features))

    def glif3(self, cell):
        """The cell's GLIF3 model: its id and its configuration in SI units; None without one."""
        specimens = _records(self._ask(self.glif.get_neuronal_models, [cell]))
        # The newest should there ever be two.
        models = [
            model["id"]
            for specimen in specimens
            for model in specimen["neuronal_models"]
            if model["neuronal_model_template_id"] == GLIF3_TEMPLATE
        ]
        if not models:
            return None
        model = max(models)
        config = self._ask(self.glif.get_neuron_configs, [model])[model]
        if not isinstance(config, dict):
            raise Problem("the file of its GLIF3 model is no JSON object")
        return {"model": model, "config": config}

    def _ask(self, function, *arguments):
        """The answer of an API function, within the time limit, in several attempts.

        The alarm limits the whole answer; a socket's time-out would only limit each silence.
        """
        for attempt in range(self.attempts):
            if attempt:
                time.sleep(self.backoff_s * 2 ** (attempt - 1))
            signal.setitimer(signal.ITIMER_REAL, self.timeout_s)
            try:
                return function(*arguments)
            except TooLate:
                problem = Problem(f"no answer within {self.timeout_s:g} s", True)
            except urllib.error.HTTPError as error:
                problem = Problem(f"HTTP status {error.code} ({error.reason})")
                if error.code not in RETRIED_STATUS:
                    break
            except urllib.error.URLError as error:
                problem = Problem(str(error.reason), True)
            except (OSError, http.client.HTTPException) as error:
                problem = Problem(f"the connection broke: {error!r}", True)
            except ValueError as error:
                problem = Problem(f"the answer is not JSON ({error}): a web page, or cut short")
            finally:
                signal.setitimer(signal.ITIMER_REAL, 0)
        raise problem


def _records(answer):
    """The answer, if it is a list of records; of a failed query it is words."""
    if isinstance(answer, str):
        raise Problem(f"the query failed: {answer}")
    if not isinstance(answer, list) or not all(isinstance(record, dict) for record in answer):
        raise Problem("the answer is no list of records")
    return answer


def reply(client, request):
    """The reply to one request, as a value for JSON."""
    try:
        return {"answer": getattr(client, request[0])(*request[1:])}
    except Problem as problem:
        return {"problem": str(problem), "unreachable": problem.unreachable}
    except TooLate:  # the alarm rang between two attempts
        return {"problem": "no answer in time", "unreachable": True}
    except (KeyError, IndexError, TypeError, AttributeError) as error:
        # allensdk and the above take the documented form for granted
        words = f"the answer has another form than documented ({error!r})"
        return {"problem": words, "unreachable": False}


def main():
    """Answer requests until standard input ends."""
    import allensdk

    signal.signal(signal.SIGALRM, _too_late)
    client = Client(**json.loads(sys.argv[1]))
    out, sys.stdout = sys.stdout, sys.stderr  # nothing that allensdk prints goes between replies

    def say(value):
        out.write(json.dumps(value) + "\n")
        out.flush()

    say(allensdk.__version__)
    for line in sys.stdin:
        say(reply(client, json.loads(line)))


if __name__ == "__main__":
    main()
