"""Claims as data: each file of configs/claims, and each claim with the printed number that it cites.

A file there holds `claims` by id, and `defaults` that are laid below every one of them. A number that stands in
configs/reported is cited from there and typed nowhere else.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from hkd.plan.study import find
from hkd.report.verdicts import margin_of
from hkd.settings.origins import ConfigError, Layers, check, nearest, read_yaml
from hkd.studies.comparison.rules import Comparison
from hkd.studies.comparison.said import SECTIONS, Cite, Number, Ordering, Statement


@dataclass(frozen=True)
class Claim:
    """A claim, with what it cites.

    Attributes:
        id: its name. said: as it stands in configs/claims. citation: where it stands, in words.
        value: the printed number; of an ordering, by how much the higher exceeds the lower.
        run, nfe: what answers a number; margin: of a number.
        label, category: of its row in the printed table; train_images: behind it, as far as its source states them.
        printed_sd: spread that is printed beside it.
    """

    id: str
    said: Number | Ordering | Statement
    citation: str
    value: float | None = None
    run: str | None = None
    nfe: int | None = None
    margin: float | None = None
    label: str = ""
    category: str = ""
    train_images: int | None = None
    printed_sd: float | None = None
    note: str = ""

    @property
    def kind(self) -> str:
        """number, ordering or statement."""
        return self.said.kind

    @property
    def sides(self) -> tuple[str, ...]:
        """Ids of the claims whose measurements it rests on: lower and higher of an ordering, of others itself."""
        return (self.said.lower, self.said.higher) if isinstance(self.said, Ordering) else (self.id,)


def read_claims(configs: Path, rules: Comparison) -> dict[str, Claim]:
    """Return every claim of configs/claims, by id, in the order of files and lines.

    Raises:
        ConfigError: a claim lacks its citation, cites a number that is not there, or names another that does not exist.
    """
    folder = configs / "claims"
    sources = {str(key): str(text) for key, text in read_yaml(folder / "sources.yaml").values.items()}
    said: dict[str, Number | Ordering | Statement] = {}
    for path in sorted(path for path in folder.glob("*.yaml") if path.stem != "sources"):
        for name, section in _sections(path, sources).items():
            if name in said:
                raise ConfigError(f"{path}: claim '{name}' stands in another file of {folder} as well; keep one")
            said[name] = section
    numbers = {name: _number(name, item, configs, sources) for name, item in said.items() if isinstance(item, Number)}
    found = {}
    for name, item in said.items():
        if isinstance(item, Number):
            found[name] = _with_margin(numbers[name], item, numbers, rules)
        elif isinstance(item, Ordering):
            found[name] = _ordering(name, item, numbers, sources)
        else:
            found[name] = _statement(name, item, sources)
    return found


def claim_of(claims: Mapping[str, Claim], name: str) -> Claim:
    """Return a claim, or refuse with the nearest.

    Raises:
        ConfigError: there is no such claim.
    """
    if name not in claims:
        raise ConfigError(f"no claim '{name}'. {_near(name, claims)}")
    return claims[name]


def listed(claims: Mapping[str, Claim]) -> list[str]:
    """Return the claims as lines for a terminal: id, what is printed, margin, citation."""
    lines = []
    for claim in claims.values():
        value = "" if claim.value is None else f"{claim.value:g}"
        margin = "" if claim.margin is None else f"± {claim.margin:.3g}"
        said = "" if isinstance(claim.said, Number) else f"{claim.said.quote}. "
        lines.append(f"{claim.id:20} {value:>7} {margin:8} {said}{claim.said.cite.source}: {_place(claim.said.cite)}")
    return lines


def _sections(path: Path, sources: Mapping[str, str]) -> dict[str, Number | Ordering | Statement]:
    layers = read_yaml(path)
    if odd := sorted(layers.values.keys() - {"defaults", "claims"}):
        raise ConfigError(f"{layers.origin((odd[0],))}: unknown key '{odd[0]}'. Known: claims, defaults.")
    claims = layers.values.get("claims")
    if not isinstance(claims, Mapping) or not claims:
        raise ConfigError(f"{path}: holds no claims; put them under `claims`, by id")
    found = {}
    for name in claims:
        where = layers.origin(("claims", name))
        if not isinstance(claims[name], Mapping):
            raise ConfigError(f"{where}: claim '{name}' is no mapping; it needs at least `cite`")
        merged = Layers().put(layers.pick("defaults")).put(layers.pick("claims", name))
        try:
            found[name] = _checked(merged)
        except ConfigError as error:
            raise ConfigError("\n".join(f"{line} (claim '{name}')" for line in str(error).splitlines())) from None
        source = found[name].cite.source
        if source not in sources:
            raise ConfigError(f"{where}: claim '{name}' cites '{source}'. {nearest(source, list(sources))}")
    return found


def _checked(layers: Layers) -> Number | Ordering | Statement:
    kind, where = layers.values.get("kind"), layers.origin(("kind",))
    if kind not in SECTIONS:
        raise ConfigError(f"{where}: kind = {kind!r} is none of {', '.join(SECTIONS)}")
    cite = layers.values.get("cite")
    if not isinstance(cite, Mapping) or not (cite.get("table") or cite.get("section")):
        raise ConfigError(f"{where}: no citation; add `cite` with source, and a table or a section")
    return check(SECTIONS[str(kind)], layers)


def _number(name: str, said: Number, configs: Path, sources: Mapping[str, str]) -> Claim:
    cited = _words(said.cite, sources)
    if said.value is not None:
        return Claim(name, said, cited, said.value, said.run, said.nfe, label=said.cite.row, note=said.note)
    path = configs / f"reported/{said.reported}.yaml"
    row = _printed_row(name, said, path)
    key = next(key for key in ("fid", "mean", "seconds") if key in row)
    cite = said.cite
    return Claim(
        name,
        said,
        cited,
        float(row[key]),
        said.run or row.get("run") or _table(path, said).get("run"),
        said.nfe or row.get("nfe") or 1,
        label=str(row.get("method", cite.row)),
        category=str(row.get("category", "")),
        train_images=row.get("train_images"),
        printed_sd=row.get("sd"),
        note="; ".join(text for text in (row.get("note", ""), said.note) if text),
    )


def _table(path: Path, said: Number) -> Mapping[str, Any]:
    tables = read_yaml(path).values.get("tables", {})
    if said.conditions not in tables:
        raise ConfigError(f"{path}: no table '{said.conditions}'. {nearest(said.conditions, list(tables))}")
    found: Mapping[str, Any] = tables[said.conditions]
    return found


def _printed_row(name: str, said: Number, path: Path) -> Mapping[str, Any]:
    """Return the row of configs/reported that a claim cites; exactly one must fit."""
    cite, table = said.cite, _table(path, said)

    def fits(row: Mapping[str, Any]) -> bool:
        asked = {"method": cite.row, "nfe": cite.nfe, "category": cite.category}
        same = all(row.get(key) == value for key, value in asked.items() if value and key in row)
        if "epoch" in row:  # -1 stands for before the first
            return same and row["epoch"] == (None if cite.epoch == -1 else cite.epoch)
        return same

    rows = [row for row in table["rows"] if fits(row)]
    if len(rows) != 1:
        labels = list(dict.fromkeys(str(row.get("method", row.get("epoch"))) for row in table["rows"]))
        hint = nearest(cite.row, labels) if not rows else "say more: nfe, category or epoch"
        raise ConfigError(f"claim '{name}': {len(rows)} rows of {path}, {said.conditions}, fit '{cite.row}'. {hint}")
    return dict(rows[0])


def _with_margin(claim: Claim, said: Number, numbers: Mapping[str, Claim], rules: Comparison) -> Claim:
    for other in (*said.ranked_against, *([said.same_as] if said.same_as else [])):
        if other not in numbers:
            raise ConfigError(f"claim '{claim.id}' names '{other}', which is no number. {_near(other, numbers)}")
    values = [numbers[other].value for other in said.ranked_against]
    ranked = [value for value in values if value is not None]
    margin = margin_of(float(claim.value or 0), ranked, share=rules.margin.ranked, otherwise=rules.margin.otherwise)
    return replace(claim, margin=float(f"{margin:.12g}"))  # without the dust of binary fractions


def _ordering(name: str, said: Ordering, numbers: Mapping[str, Claim], sources: Mapping[str, str]) -> Claim:
    for side in (said.lower, said.higher):
        if side not in numbers:
            raise ConfigError(f"claim '{name}' names '{side}', which is no number. {_near(side, numbers)}")
    low, high = float(numbers[said.lower].value or 0), float(numbers[said.higher].value or 0)
    if low >= high:
        raise ConfigError(f"claim '{name}': {said.lower} is printed as {low:g}, not below {said.higher}, {high:g}")
    return Claim(name, said, _words(said.cite, sources), float(f"{high - low:.12g}"), note=said.note)


def _statement(name: str, said: Statement, sources: Mapping[str, str]) -> Claim:
    if said.study not in (known := find()):
        raise ConfigError(f"claim '{name}': no study '{said.study}'. {nearest(said.study, list(known))}")
    return Claim(name, said, _words(said.cite, sources), note=said.note)


def _words(cite: Cite, sources: Mapping[str, str]) -> str:
    """Return a citation in words: source; table, row, column; section."""
    return f"{sources.get(cite.source, cite.source)}: {_place(cite)}"


def _place(cite: Cite) -> str:
    place = [f"Table {cite.table}"] if cite.table else []
    place += [f"row '{cite.row}'"] if cite.row else []
    place += [f"{cite.nfe:,} NFE"] if cite.nfe else []
    if cite.epoch is not None:
        place.append("before training" if cite.epoch == -1 else f"epoch {cite.epoch}")
    place += [f"under {cite.category}"] if cite.category else []
    place += [f"column {cite.column}"] if cite.column else []
    place += [cite.section] if cite.section else []
    return ", ".join(place)


def _near(name: str, known: Mapping[str, Any]) -> str:
    """Return the nearest id, and nothing longer: there are a hundred."""
    hint = nearest(name, list(known))
    return hint if hint.startswith("Did") else "`hkd claims` lists them."
