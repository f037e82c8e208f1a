"""The settings files of printed numbers against the numbers themselves, typed a second time from the paper's tables."""

from __future__ import annotations

from pathlib import Path

import pytest

from hkd.settings.origins import read_yaml

REPORTED = Path(__file__).parents[2] / "configs" / "reported"

MULTI, DISTIL, CONSIST = "Multi-Step Diffusion Models", "Diffusion Distillation", "Consistency Model"

TABLE1 = [
    (MULTI, "DDPM", 1000, 3.17),
    (MULTI, "Score SDE", 2000, 2.38),
    (MULTI, "DDIM", 100, 4.16),
    (MULTI, "DDIM", 10, 13.36),
    (MULTI, "EDM", 35, 1.97),
    (MULTI, "EDM", 15, 5.62),
    (DISTIL, "KD", 1, 9.36),
    (DISTIL, "PD", 1, 8.34),
    (DISTIL, "CD (LPIPS)", 1, 3.55),
    (DISTIL, "DMD", 1, 3.77),
    (DISTIL, "1-Rectified flow", 1, 6.18),
    (DISTIL, "2-Rectified flow", 1, 4.85),
    (DISTIL, "3-Rectified flow", 1, 5.21),
    (DISTIL, "2-Rectified flow++", 1, 3.38),
    (CONSIST, "CT (LPIPS)", 1, 8.70),
    (CONSIST, "CD (LPIPS)", 1, 3.55),
    (CONSIST, "iCT", 1, 2.83),
    (CONSIST, "iCT-deep", 1, 2.51),
    (CONSIST, "ECM", 1, 3.60),
    (CONSIST, "HKD", 1, 3.30),
]
TABLE2 = [("DDIM", 10, 18.30), ("EDM", 79, 2.47), ("EDM", 15, 9.85), ("ECM", 1, 5.99), ("HKD", 1, 5.70)]
TABLE3 = [
    ("ablations/abl_no_koopman", 1, 5.72),
    ("ablations/abl_no_traj", 1, 5.57),
    ("ablations/abl_single_scale", 1, 4.78),
    ("methods/hkd", 1, 3.30),
]
TABLE4 = [
    ("Score SDE", 2000, 2.20),
    ("EDM", 35, 1.79),
    ("DMD (w/o REG)", 1, 5.58),
    ("DMD (w/o KL)", 1, 3.82),
    ("DMD", 1, 2.66),
    ("HKD", 1, 2.77),
]
TABLE5 = [
    (None, 447.13, None),
    (0, 11.82, 0.29),
    (10, 5.70, 0.21),
    (20, 4.71, 0.17),
    (30, 4.09, 0.18),
    (40, 3.52, 0.11),
    (50, 3.31, 0.03),
    (52, 3.31, 0.02),
    (53, 3.30, 0.02),
]
TABLE6 = [
    ("DDPM", 1000, 15.32),
    ("Score SDE", 2000, 45.89),
    ("DDIM", 10, 0.51),
    ("DDIM", 100, 2.35),
    ("EDM", 35, 0.69),
    ("EDM", 15, 0.30),
    ("KD", 1, 0.26),
    ("PD", 1, 0.28),
    ("CD", 1, 0.02),
    ("DMD", 1, 0.03),
    ("1-Rectified flow", 1, 0.03),
    ("2-Rectified flow", 1, 0.03),
    ("3-Rectified flow", 1, 0.03),
    ("2-Rectified flow++", 1, 0.03),
    ("CT", 1, 0.02),
    ("iCT", 1, 0.02),
    ("iCT-deep", 1, 0.02),
    ("ECM", 1, 0.02),
    ("HKD", 1, 0.03),
]
RUNS1 = [
    *("ddpm", "score_sde", "ddim", "ddim", "edm", "edm"),
    *("kd", "pd", "cd", "dmd", "rf1", "rf2", "rf3", "rf2pp"),
    *("ct", "cd", "ict", "ict_deep", "ecm", "hkd"),
]


@pytest.mark.parametrize(
    ("file", "table", "keys", "printed"),
    [
        ("cifar10", "table1", ("category", "method", "nfe", "fid"), TABLE1),
        ("ffhq64", "table2", ("method", "nfe", "fid"), TABLE2),
        ("cifar10", "table3", ("run", "nfe", "fid"), TABLE3),
        ("cifar10", "table4", ("method", "nfe", "fid"), TABLE4),
        ("cifar10", "table5", ("epoch", "mean", "sd"), TABLE5),
        ("cifar10", "table6", ("method", "nfe", "seconds"), TABLE6),
    ],
)
def test_every_printed_number_stands_in_the_printed_order(file, table, keys, printed):
    rows = read_yaml(REPORTED / f"{file}.yaml").values["tables"][table]["rows"]
    assert [tuple(row[key] for key in keys) for row in rows] == printed


def test_table1_names_the_run_of_each_row():
    rows = read_yaml(REPORTED / "cifar10.yaml").values["tables"]["table1"]["rows"]
    assert [row["run"] for row in rows] == [f"methods/{name}" for name in RUNS1]


def test_the_second_printing_of_cd_says_so():
    rows = read_yaml(REPORTED / "cifar10.yaml").values["tables"]["table1"]["rows"]
    first, second = (row for row in rows if row["run"] == "methods/cd")
    assert "second printing" in second["note"] and "second printing" not in first["note"]


@pytest.mark.parametrize(
    ("file", "table", "method", "nfe", "words"),
    [
        ("cifar10", "table1", "PD", 1, "9.12"),
        ("cifar10", "table1", "EDM", 15, "origin unknown"),
        ("cifar10", "table1", "1-Rectified flow", 1, "distilled"),
        ("cifar10", "table1", "2-Rectified flow++", 1, "3.07"),
        ("ffhq64", "table2", "EDM", 79, "2.39"),
        ("ffhq64", "table2", "ECM", 1, "origin unknown"),
        ("cifar10", "table4", "Score SDE", 2000, "unconditional"),
    ],
)
def test_known_discrepancies_are_noted(file, table, method, nfe, words):
    rows = read_yaml(REPORTED / f"{file}.yaml").values["tables"][table]["rows"]
    (row,) = (row for row in rows if (row["method"], row["nfe"]) == (method, nfe))
    assert words in row["note"]


@pytest.mark.parametrize("file", ["cifar10", "ffhq64"])
def test_the_paper_and_the_protocol_are_stated(file):
    values = read_yaml(REPORTED / f"{file}.yaml").values
    assert "2510.12220" in values["paper"]
    assert values["dataset"]["images"] == {"cifar10": 50_000, "ffhq64": 70_000}[file]
    assert values["protocol"] == {"extractor": "FID", "n_generated": 50_000}
