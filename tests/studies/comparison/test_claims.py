"""Claims as data: every printed number is one, each has its citation, and a mistake is one line with its remedy."""

from __future__ import annotations

import math
import shutil
import statistics
from pathlib import Path

import pytest
import yaml
from scipy import stats

from hkd.plan.runs import Plan
from hkd.plan.study import find
from hkd.report.verdicts import Verdict
from hkd.settings.origins import ConfigError
from hkd.store.paths import DATASET, METHOD, SEED
from hkd.studies.comparison.claims import claim_of, listed, read_claims
from hkd.studies.comparison.plan import claims, frozen, settings
from hkd.studies.comparison.said import Number, Ordering, Statement
from hkd.studies.editing import time_verdict
from hkd.studies.interpretability import accessible, evidence
from tests.studies.interpretability import case

CONFIGS = Path(__file__).resolve().parents[3] / "configs"
EMBEDDED = str(CONFIGS / "benchmarks/embedded.yaml")


@pytest.fixture(scope="module")
def plan() -> Plan:
    return Plan.load(EMBEDDED, {}, CONFIGS)


@pytest.fixture(scope="module")
def known(plan):
    return claims(plan)


@pytest.mark.parametrize(
    "file, table, key", [
        ("cifar10", 1, "fid"), ("ffhq64", 2, "fid"), ("cifar10", 3, "fid"),
        ("cifar10", 4, "fid"), ("cifar10", 5, "mean"), ("cifar10", 6, "seconds"),
    ],
)  # fmt: skip
def test_every_number_of_the_paper_is_a_claim_in_its_order(known, file, table, key):
    rows = yaml.safe_load((CONFIGS / f"reported/{file}.yaml").read_text())["tables"][f"table{table}"]["rows"]
    mine = [claim for claim in known.values() if claim.said.cite.table == table and isinstance(claim.said, Number)]
    assert [claim.value for claim in mine] == [row[key] for row in rows]
    assert [claim.printed_sd for claim in mine] == [row.get("sd") for row in rows]
    if table not in (3, 5):
        assert [(c.label, c.nfe) for c in mine] == [(row["method"], row["nfe"]) for row in rows]
    assert all(claim.run for claim in mine)


@pytest.mark.parametrize(
    "name, value",
    [
        ("s-pd-own", 9.12), ("s-pd-cm", 8.34), ("s-edm-ffhq", 2.39), ("s-rf2pp-ffhq", 5.21), ("s-cd-retrained", 10.53),
        ("s-rf2pp-later", 3.07), ("s-rf1-undistilled", 378), ("s-rf2-undistilled", 12.21), ("s-edm-again", 2.01),
    ],
)  # fmt: skip
def test_sources_that_differ_are_claims_of_their_own(known, name, value):
    assert known[name].value == value and known[name].said.cite.source != "hkd" and known[name].note


def written() -> dict[str, set[str]]:
    """The words that studies write, by quantity (none: the time of an edit), from inputs that deserve each of them."""
    errors = [case.closure(size, size, denoised=size) for size in (0.0, 1.0)]
    swaps = [case.factors(special=size) for size in (1.0, 0.0)]
    rows = [
        row
        for one in errors
        for of in (accessible.closure_rows, accessible.teacher_rows)
        for row in of("", "", [one], case.STUDY.rules)
    ]
    for seeds in (swaps[:1], swaps[1:], swaps):
        rows += evidence.factor_rows("", "", "alpha", seeds, case.STUDY.rules)
    found = {"": {time_verdict.verdict(*one) for one in ((0.0, 0.0), (0.0, 1.0), (1.0, 1.0))}}
    for row in rows:
        found.setdefault(row.quantity.text, set()).add(str(row.decision))
    return found


def test_every_statement_is_answered_by_words_that_its_study_writes_of_that_quantity(known):
    statements, words = [claim.said for claim in known.values() if isinstance(claim.said, Statement)], written()
    for said in statements:
        counted = {*said.agrees, *said.disagrees}
        assert counted <= words[said.cell.where.get("quantity", "")], said.quote
        assert said.agrees and not {*said.agrees} & {*said.disagrees}
    assert len(statements) == 4


def test_a_statement_that_nothing_can_disagree_with_says_why(known):
    one_sided = [c.id for c in known.values() if isinstance(c.said, Statement) and not c.said.disagrees]
    assert one_sided == ["w-bands"]
    assert all("against it" in known[name].note for name in one_sided)


def test_every_cell_lies_in_a_file_that_some_part_of_a_study_leaves(plan, known):
    parts = [part for study in find().values() for part in study.parts]
    left = {path for part in parts for path in part.files(plan.layout).outputs.values()}
    fill = {"{dataset}": DATASET, "methods/hkd/seed0": f"{METHOD}/seed{SEED}"}
    for claim in known.values():
        if cell := getattr(claim.said, "cell", None):
            file = cell.file
            for name, value in fill.items():
                file = file.replace(name, value)
            assert plan.layout.top.of(file) in left, claim.id


def test_every_claim_says_where_it_stands_and_how_it_was_rounded(known):
    for claim in known.values():
        assert ": Table" in claim.citation or claim.said.cite.section, claim.id
        if isinstance(claim.said, Number):
            assert claim.margin > 0 and claim.said.rounding in (0.01, 1) and claim.said.protocol
        elif isinstance(claim.said, Statement):
            assert claim.said.agrees and claim.said.cell.file.endswith((".csv", ".json"))


@pytest.mark.parametrize(
    "name, margin",
    [("t1-hkd", 0.04), ("t1-cd", 0.125), ("t1-ecm", 0.15), ("t1-ddpm", 0.317), ("t2-hkd", 0.145), ("t3-hkd", 0.74),
     ("t3-no-koopman", 0.075), ("t4-hkd", 0.055), ("t6-hkd", 0.003)],
)  # fmt: skip
def test_margins(known, name, margin):
    assert known[name].margin == pytest.approx(margin)


def test_orderings_are_printed_in_that_order(known):
    orderings = [claim for claim in known.values() if isinstance(claim.said, Ordering)]
    assert len(orderings) > 20
    for claim in orderings:
        assert known[claim.said.lower].value < known[claim.said.higher].value
        assert claim.value == pytest.approx(known[claim.said.higher].value - known[claim.said.lower].value)


def test_the_spread_between_laboratories_is_that_of_its_pairs(plan):
    """ECT 2.92 / 3.60 and six others: standard deviation of the log ratio, and its interval by chi-square."""
    lab = settings(plan).laboratories
    ratios = [math.log(one / other) for one, other in lab.pairs.values()]
    sd, freedom = statistics.stdev(ratios), len(ratios) - 1
    assert (lab.relative, lab.freedom) == (pytest.approx(sd, abs=5e-4), freedom)
    low, high = (sd * math.sqrt(freedom / stats.chi2.ppf(q, freedom)) for q in (0.975, 0.025))
    assert lab.interval == (pytest.approx(low, abs=5e-4), pytest.approx(high, abs=5e-4))
    differences = [abs(one - other) for one, other in lab.pairs.values()]
    assert statistics.median(differences) == pytest.approx(0.24)


def test_what_is_frozen_is_what_is_claimed(plan):
    """A changed claim, margin, rule or reading of HKD: say why in the commit, and `hkd claims --freeze`."""
    assert frozen(plan).changed == ()


def test_only_three_numbers_can_be_reproduced_while_laboratories_differ_so_much(plan, known):
    """docs/claims.md says so: for all others a tenth, or half a lead, is less than what laboratories differ by."""
    lab = settings(plan).laboratories
    numbers = [claim for claim in known.values() if isinstance(claim.said, Number) and claim.said.quantity == "FID"]
    reach = [c.id for c in numbers if stats.t.ppf(0.975, lab.freedom) * lab.relative * c.value < c.margin]
    assert reach == ["t1-kd", "t1-pd", "t1-ct"]


def test_the_page_explains_every_word(root):
    page = (root / "docs/claims.md").read_text()
    for verdict in Verdict:
        assert f"`{verdict.partition(': ')[2] or verdict}`" in page or f"`{verdict}`" in page, verdict
    assert all(text in page for text in ("0.117", "0.075 to 0.258", "--freeze", "--bypass", "--strict"))


# -- mistakes ----------------------------------------------------------------------------------------------------------


@pytest.fixture
def copied(tmp_path: Path) -> Path:
    shutil.copytree(CONFIGS, tmp_path / "configs")
    return tmp_path / "configs"


def refused(configs: Path, plan: Plan) -> str:
    with pytest.raises(ConfigError) as error:
        read_claims(configs, settings(plan))
    assert "\n" not in str(error.value)
    return str(error.value)


def edit(configs: Path, file: str, old: str, new: str) -> None:
    path = configs / "claims" / file
    assert path.read_text().count(old) >= 1
    path.write_text(path.read_text().replace(old, new, 1))


@pytest.mark.parametrize(
    "file, old, new, said",
    [
        ("statements.yaml", "cite: {section: abstract and method}", "cite: {}", "no citation; add `cite`"),
        ("table2.yaml", "row: ECM, nfe: 1", "row: ECN, nfe: 1", "Did you mean 'ECM'"),
        ("table2.yaml", "row: EDM, nfe: 79", "row: EDM", "2 rows of"),
        ("table2.yaml", "conditions: table2", "conditions: table9", "Did you mean 'table2'"),
        ("table2.yaml", "ranked_against: [t2-hkd]", "ranked_against: [t2-hdk]", "Did you mean 't2-hkd'"),
        ("table2.yaml", "kind: number", "kind: nubmer", "is none of number, ordering, statement"),
        ("table2.yaml", "rounding: 0.01", "rounding: 0", "rounding = 0 is not usable"),
        ("table2.yaml", "  quantity: FID", "  quantity: FID\n  qantity: FID", "Did you mean 'quantity'"),
        ("table2.yaml", "source: hkd", "source: hdk", "Did you mean 'hkd'"),
        ("table2.yaml", "claims:", "clams:", "unknown key 'clams'"),
        ("table2.yaml", "t2-ecm:", "t1-ecm:", "stands in another file"),
        ("table2.yaml", "  t2-ddim-10: {cite: {row: DDIM, nfe: 10}}", "  t2-ddim-10: 3", "is no mapping"),
        ("orderings.yaml", "t3-hkd, higher: t3-single-scale", "t3-single-scale, higher: t3-hkd", "not below"),
        ("orderings.yaml", "lower: t3-hkd", "lower: t3-hdk", "Did you mean 't3-hkd'"),
        ("statements.yaml", "study: interpretability", "study: interpretabilty", "Did you mean 'interpretability'"),
        ("statements.yaml", "file: interpretability.csv", "file: ../../etc/passwd", "cell.file = '../../etc/passwd'"),
    ],
)  # fmt: skip
def test_a_mistake_in_a_claim_is_one_line(copied, plan, file, old, new, said):
    edit(copied, file, old, new)
    assert said in refused(copied, plan)


def test_a_run_that_is_said_to_be_selected_exists(root):
    changes = {"studies": {"comparison": {"selected": {"methods/hkdd": "rate chosen by FID"}}}}
    with pytest.raises(ConfigError, match=r"no run 'methods/hkdd'. Did you mean 'methods/hkd'"):
        claims(Plan.load(str(root / "configs/benchmarks/embedded.yaml"), changes, root / "configs"))


def test_a_mistyped_id_is_refused_with_the_nearest(known):
    with pytest.raises(ConfigError, match=r"no claim 't1-hdk'\. Did you mean 't1-hkd'"):
        claim_of(known, "t1-hdk")
    with pytest.raises(ConfigError, match="`hkd claims` lists them"):
        claim_of(known, "zzzzzz")


def test_the_list_has_one_line_a_claim(known):
    assert [line.split()[0] for line in listed(known)] == list(known)


# -- frozen ------------------------------------------------------------------------------------------------------------


def test_what_changes_after_freezing_is_named(copied):
    edit(
        copied,
        "table1.yaml",
        "t1-ddpm: {cite: {row: DDPM, nfe: 1000}}",
        "t1-ddpm: {cite: {row: DDPM, nfe: 1000}, ranked_against: [t1-kd]}",
    )
    fixed, known = thawed(copied)
    assert set(fixed.changed) == {"claims.t1-ddpm.margin", "claims.t1-ddpm.ranked_against"}
    assert fixed.changed_of(known["t1-ddpm"], known) and not fixed.changed_of(known["t1-kd"], known)


def thawed(configs: Path):
    """Return what is frozen of changed configs, and their claims."""
    plan = Plan.load(EMBEDDED, {}, configs)
    return frozen(plan), claims(plan)


def replaced(path: Path, old: str, new: str) -> None:
    assert old in path.read_text()
    path.write_text(path.read_text().replace(old, new, 1))


@pytest.mark.parametrize(
    "old, new, path, touched, untouched", [
        ("n_generated: 50000", "n_generated: 10000", "protocols.cifar10.n_generated", "t1-kd o-hkd-kd", "t2-ecm"),
        ("extractor: FID", "extractor: FD-cnn", "protocols.cifar10.extractor", "t3-hkd s-pd-own", "t2-ecm"),
        ("images: 50000}", "images: 10000}", "protocols.cifar10.images", "t1-kd", "t2-ecm w-bands"),
        ("train_images: 102400000", "train_images: 9", "train_images.cifar10/table1/methods/ddpm", "t1-ddpm", "t1-kd"),
        ("fid: 3.17", "fid: 3.19", "claims.t1-ddpm.value", "t1-ddpm", "t1-kd"),
    ],
)  # fmt: skip
def test_another_printed_protocol_length_or_number_marks_what_rests_on_it(copied, old, new, path, touched, untouched):
    replaced(copied / "reported/cifar10.yaml", old, new)
    fixed, known = thawed(copied)
    assert path in fixed.changed
    assert all(path in fixed.changed_of(known[name], known) for name in touched.split())
    assert not any(fixed.changed_of(known[name], known) for name in untouched.split())


def test_a_changed_side_marks_its_ordering_and_no_claim_of_a_longer_name(copied):
    edit(copied, "table1.yaml", "cite: {row: iCT, nfe: 1}", "rounding: 0.02, cite: {row: iCT, nfe: 1}")
    fixed, known = thawed(copied)
    assert fixed.changed == ("claims.t1-ict.rounding",)
    assert fixed.changed_of(known["t1-ict"], known) and fixed.changed_of(known["o-ict-hkd"], known)
    assert not any(fixed.changed_of(known[name], known) for name in ("t1-ict-deep", "o-ict-deep-hkd"))


@pytest.mark.parametrize(
    "file, old, new, path", [
        ("methods/hkd.yaml", "time_map: sigma ", "time_map: rho ", "params.time_map"),
        ("methods/hkd.yaml", "  dropout: 0.0 ", "  dropout: 0.1 ", "network.dropout"),
        ("trajectories/edm-heun.yaml", "steps: 18", "steps: 19", "trajectories.steps"),
    ],
)  # fmt: skip
def test_another_reading_of_hkd_marks_every_claim_of_that_run(copied, file, old, new, path):
    replaced(copied / file, old, new)
    fixed, known = thawed(copied)
    changed = f"readings.cifar10/methods/hkd.{path}"
    assert changed in fixed.changed
    assert all(changed in fixed.changed_of(known[n], known) for n in ("t1-hkd", "o-hkd-kd", "o-training", "w-bands"))
    assert not fixed.changed_of(known["t1-kd"], known)


@pytest.mark.parametrize(
    "content", [b"", b"[]", b"{}", b"{", b"\xff", b'{"rules": 1, "claims": {}, "readings": {}, "lengths": {}}']
)
def test_a_frozen_file_that_is_none_is_refused(copied, content):
    (copied / "claims/frozen.json").write_bytes(content)
    with pytest.raises(ConfigError, match=r"frozen.json: (unreadable|lacks)"):
        frozen(Plan.load(EMBEDDED, {}, copied))


def test_without_a_frozen_file_the_remedy_is_named(copied):
    (copied / "claims/frozen.json").unlink()
    with pytest.raises(ConfigError, match="hkd claims --freeze"):
        frozen(Plan.load(EMBEDDED, {}, copied))
