"""The finished run whose images are followed over time."""

from tests.studies.single_run import files, finished_run, hkd, picture, refused, results, samples, study_plan

__all__ = ["files", "finished_run", "hkd", "picture", "refused", "results", "samples", "study_plan"]
