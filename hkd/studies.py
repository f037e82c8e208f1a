"""The checked sections of configs/studies: what each study of finished runs does, and on which runs.

A study reads weights, trajectories or metrics that the workflow has made, and writes arrays or a table of its own.
"""

from __future__ import annotations
