"What tests of notebooks and of small networks share."
import warnings

import matplotlib
import nbformat
import pytest
import torch

from crimenb.lab import studies


@pytest.fixture(scope="module", autouse=True)
def one_thread():
    "Two threads that wait for each other cost more than such small networks gain. Autouse in every module that imports it."
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)

def code_of(study):
    "The sources of a study's code cells."
    return [c.source for c in nbformat.read(studies.folder_of("reproduce")/f"{study}.ipynb", as_version=4).cells if c.cell_type == "code"]

def run_cells(study, given, out, until=None):
    "The cells of a study one after the other in this process, with the parameters `given`: its variables; no further than where `until` is one of them. (The hygiene tests run it in a kernel.)"
    matplotlib.use("Agg")
    import matplotlib.pyplot as plt
    parameters, *cells = code_of(study)
    # what a kernel would show is looked at by nobody here
    space = {"display": lambda *shown: None}
    with warnings.catch_warnings():
        exec(parameters, space)
        space |= given | {"out": str(out)}
        try:
            for source in cells:
                warnings.filterwarnings("ignore", message="FigureCanvasAgg is non-interactive")
                exec(source, space)
                if until in space: break
        finally: plt.close("all")
    return space
