"""`make publish`: copy a profile's tables and figures into figures/, with a manifest that says which run made each."""

import shutil
import sys
from pathlib import Path

from dawgen_core import artifacts, params
from dawgen_core.app import stages
from dawgen_core.app.reproduce import WALL
from dawgen_core.beyond import sweeps
from dawgen_core.data import profiles


def publish(profile_name: str, target: Path = params.ROOT / "figures") -> Path:
    """figures/PROFILE/ and its manifest.json. Errors: ArtifactError when the tables are missing or were edited."""
    profile = profiles.load_profile(profile_name)
    runs = artifacts.Runs.of(profile)
    made, commits, n_conditions = {}, set(), 0
    kinds = {"tables": "tables", "figures": "tables", "costs": "tables", "audit": "audit"}
    for name, kind in (kinds | ({"beyond/shown": "tables"} if sweeps.load(profile) else {})).items():
        folder = runs.root / name
        result = artifacts.verified(folder, kind)
        receipt = artifacts.read_json(folder / "receipt.json", made_by=artifacts.NOTEBOOKS[kind])
        commits |= set(receipt.get("commits", [receipt["commit"]]))
        n_conditions = max(n_conditions, result["metrics"].get("conditions", 0))
        for name, digest in result["outputs"].items():
            if name.endswith((".parquet", ".html")):  # every row's and variant's numbers stay in the run
                continue
            (target / profile.profile).mkdir(parents=True, exist_ok=True)
            shutil.copyfile(folder / name, target / profile.profile / name)
            made[name] = {"sha256": digest, "commit": receipt["commit"], "machine": receipt["machine"],
                          "device": receipt["device"]}  # fmt: skip
    manifest = {"profile": profile.profile, "about": profile.about, "random_models": profile.random_models,
                "tasks": profile.tasks, "seeds": profile.seeds, "files": made, "conditions": n_conditions,
                "commits": sorted(commits)}  # fmt: skip
    manifest["stages"] = stages.measured(profile, runs).to_dict("records")
    if (runs.root / WALL).is_file():
        manifest["wall"] = artifacts.read_json(runs.root / WALL, made_by="")
    artifacts.write_json(target / profile.profile / "manifest.json", manifest)
    return target / profile.profile


if __name__ == "__main__":
    if len(sys.argv) != 2:
        sys.exit("expected one profile name: python -m dawgen_core.app.publish PROFILE")
    try:
        print(publish(sys.argv[1]))
    except (artifacts.ArtifactError, params.ParamsError) as error:
        sys.exit(str(error))
