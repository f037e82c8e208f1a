"""The finished run that is timed."""

from tests.studies.single_run import files, hkd, refused, results, samples, study_plan

__all__ = ["files", "hkd", "refused", "results", "samples", "study_plan"]
