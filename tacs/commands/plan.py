"""Plan: recipes, protocols, limits and schemas."""

from __future__ import annotations

import json
from typing import Annotated

import typer

from tacs import console
from tacs.console import DeviceOption, ParticipantOption, RigOption, SiteOption
from tacs.errors import InputError, SafetyRefusal


def recipes() -> None:
    """List the recipes that ship: what they do, and how good the evidence is."""
    from tacs.planning import recipes as all_recipes

    entries = [recipe.to_dict() for recipe in all_recipes().values()]
    prose = "\n".join(
        f"{r['name']:<32} {r['waveform']:<12} evidence {r['evidence']}  "
        f"expects {r['expected_direction']}\n    {r['title']}"
        for r in entries
    )
    console.output.result({"recipes": entries}, prose)


def plan(
    recipe: Annotated[str, typer.Option("--recipe", help="name of a recipe, or a recipe file")],
    out: Annotated[str, typer.Option("--out", help="protocol file to write")],
    peak: Annotated[str, typer.Option("--peak", help="JSON of `tacs peak`")] = "",
    rig: RigOption = "",
    subject: Annotated[str, typer.Option("--subject", help="participant it is meant for")] = "",
    site: SiteOption = "",
    participant: ParticipantOption = "",
    blinding_label: Annotated[
        str, typer.Option("--blinding-label", help="opaque code of the arm")
    ] = "",
    frequency_hz: Annotated[
        float,
        typer.Option(
            "--frequency-hz", help="another frequency; needs --fallback-note", show_default=False
        ),
    ] = 0.0,
    fallback_note: Annotated[
        str, typer.Option("--fallback-note", help="why the frequency is not the individual one")
    ] = "",
    accept_grid: Annotated[
        str,
        typer.Option(
            "--accept-grid",
            help="REASON to play the device's nearest frequency where it cannot play the peak's",
        ),
    ] = "",
    preview: Annotated[str, typer.Option("--preview", help="write a figure of the waveform")] = "",
) -> None:
    """Turn a peak and a recipe into a checked protocol; where a limit objects, write nothing."""
    from tacs.clock import utc_now
    from tacs.limits import effective_limits
    from tacs.planning import make_plan, read_peak

    made = make_plan(
        read_peak(peak) if peak else None,
        recipe,
        now=utc_now(),
        subject=subject or None,
        rig=rig or None,
        limits=effective_limits(site or None, participant or None),
        frequency_hz=frequency_hz or None,
        fallback_note=fallback_note or None,
        grid_accepted=accept_grid or None,
    )
    if blinding_label:
        made = made.blinded(blinding_label)
    data = made.to_dict()
    if made.breaches:
        for breach in made.breaches:
            console.output.say(f"  {breach}")
        console.output.result(
            data, f"refused: {len(made.breaches)} limit(s) broken; nothing was written"
        )
        raise typer.Exit(SafetyRefusal.exit_code)
    made.protocol.to_toml(out, comment="\n".join(made.reasons))
    if preview:
        from tacs.report_figures import plot_waveform

        console.save(plot_waveform(made.protocol), preview)
    lines = [f"protocol: {out}", *(f"- {r}" for r in made.reasons)]
    lines += [f"caution: {c}" for c in made.cautions]
    console.output.result({**data, "protocol": str(out)}, "\n".join(lines))


def check(
    protocol: Annotated[str, typer.Argument(help="protocol file")],
    device: DeviceOption,
    rig: RigOption = "",
    subject: Annotated[str, typer.Option("--subject", help="participant it is meant for")] = "",
    site: SiteOption = "",
    participant: ParticipantOption = "",
) -> None:
    """Hold a protocol against every limit and list every breach."""
    from tacs.checking import check as find_breaches
    from tacs.checking import prepare
    from tacs.protocol import Protocol
    from tacs.safety import cautions

    prescription = Protocol.from_toml(protocol)
    setup = prepare(
        device, rig=rig or None, site_file=site or None, participant_file=participant or None
    )
    breaches = find_breaches(prescription, setup, subject=subject or None)
    told = cautions(prescription, setup.capabilities, setup.rig)
    prose = [f"refused: {len(breaches)} limit(s) broken" if breaches else "every limit respected"]
    prose += [f"  {breach}" for breach in breaches] + [f"caution: {text}" for text in told]
    console.output.result(
        {
            "ok": not breaches,
            "breaches": [b.to_dict() for b in breaches],
            "cautions": told,
            "protocol_sha256": prescription.sha256(),
        },
        "\n".join(prose),
    )
    if breaches:
        raise typer.Exit(SafetyRefusal.exit_code)


def limits(site: SiteOption = "", participant: ParticipantOption = "") -> None:
    """List every limit: in force, default, hard ceiling, unit and source."""
    from tacs.limits import LIMITS, effective_limits

    force = effective_limits(site or None, participant or None)
    rows = [
        {
            "limit": name,
            "sense": row.sense,
            "in_force": force[name],
            "default": row.default,
            "ceiling": row.ceiling,
            "unit": row.unit,
            "meaning": row.meaning,
            "source": force.source(name),
        }
        for name, row in LIMITS.items()
    ]
    prose = "\n".join(
        f"{r['limit']:<32} {r['sense']} {r['in_force']:>7g} (ceiling {r['ceiling']:g}) "
        f"{r['unit']:<8} {r['meaning']} [{r['source']}]"
        for r in rows
    )
    console.output.result({"limits": rows}, prose)


def schema(
    what: Annotated[
        str, typer.Argument(help="protocol, rig, recipe, site or participant")
    ] = "protocol",
) -> None:
    """Print the JSON schema of a settings file."""
    from tacs.files import StrictModel
    from tacs.limits import ParticipantFile, SiteFile
    from tacs.planning import Recipe
    from tacs.protocol import Protocol
    from tacs.rig import Rig

    models: dict[str, type[StrictModel]] = {
        "protocol": Protocol,
        "rig": Rig,
        "recipe": Recipe,
        "site": SiteFile,
        "participant": ParticipantFile,
    }
    if what not in models:
        raise InputError(f"no schema named {what!r}; there are: {', '.join(models)}")
    data = models[what].model_json_schema()
    console.output.result(data, json.dumps(data, indent=2))
