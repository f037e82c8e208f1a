"""A network that nobody trained, in one step: the anchor above which every row of a table should be."""

from __future__ import annotations

from hkd.methods.distillation.regression import Regression


class Untrained(Regression):
    """The network of the regression control, as it was drawn."""

    trains = ()
