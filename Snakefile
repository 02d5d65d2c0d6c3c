# The one workflow: which notebook runs with which parameters after which. A laptop and a cluster use the same file.
#   snakemake --cores 2 --config profile=smoke kernel=python3
# Unit of work: (task, group of seeds). A rule's inputs are its notebook, the dawgen_core files behind it, the params
# and the rows it reads, so that an edited loss reruns what depends on it and nothing else. Its outputs are the executed
# notebook and an index of what it made; the results themselves are not listed one by one, since Snakemake deletes the
# listed outputs of a stopped job and would throw away finished conditions. Inside a job, finished conditions are kept.
# How it is run, here or on a Slurm cluster, is said in workflow/: local/ and slurm/ (options), jobs.yaml (what a job asks for).
import json

from dawgen_core import params
from dawgen_core.data import profiles
from dawgen_core.app import entry, imports, jobs
from dawgen_core.beyond import sweeps
from dawgen_core.data.rows import row_files

PROFILE = config.get("profile", "smoke")
KERNEL = config.get("kernel", "python3")
study = profiles.load_profile(PROFILE)
RUNS_DIR = config.get("runs_dir", "runs")
RUN = f"{RUNS_DIR}/{study.profile}"
GROUPS = {"-".join(map(str, group)): group for group in study.seed_groups()}
SWEEPS = sweeps.load(study)
SOURCE_OF = {task: [source] for task, source in study.transfer_from.items()}
SIZES = jobs.load()


wildcard_constraints:
    task="[^/.]+",
    group="[0-9-]+",


# Files of the checkout by their place in it: one that was moved has nothing to do again.
def named(paths):
    return [str(p.relative_to(params.ROOT) if p.is_relative_to(params.ROOT) else p) for p in paths]


def code(notebook):
    path = params.ROOT / "notebooks" / f"{notebook}.ipynb"
    return named([path, *imports.files_behind(path)])


def settings(*names):
    return named([*entry.profile_files(PROFILE), *map(profiles.task_path, names)])


def rows(task):
    return named(row_files(profiles.load_task(task), study))


# Models of local folders.
FOLDERS = [params.ROOT / model.model for model in (study.classifier, study.generator)]
WEIGHTS = named(path for folder in FOLDERS if folder.is_dir() for path in sorted(folder.glob("[!.]*.*")) if path.suffix != ".md")


def parts(w):
    """What a job works on: its part of the tasks and seeds, as its notebook's parameters; none: all."""
    if "part" in w.keys():
        return PARTS[w.part]
    return {"task": w.task, "seeds": GROUPS[w.group]} if "task" in w.keys() else {}


def given(w):
    """What a notebook is given, as one line of YAML."""
    return json.dumps({"profile": PROFILE, **parts(w), **({} if RUNS_DIR == "runs" else {"runs_dir": RUNS_DIR})}, ensure_ascii=False)


def size(rule):
    """What a job of a rule asks for; one that is tried again asks for more time and memory."""
    whole = SWEEPS if rule == "beyond" else study

    def sized(w):
        of = {"tasks": whole.tasks, "seeds": whole.seeds, **parts(w)}
        return SIZES.of(study, rule, [of["task"]] if "task" in of else of["tasks"], of["seeds"])

    return {
        "runtime": lambda w, attempt: attempt * sized(w)["runtime"],
        "mem_mb": lambda w, attempt: attempt * sized(w)["mem_mb"],
        "gpu": lambda w: sized(w)["gpu"],
    }


# A job that may use a GPU has one to itself: of those that there are here, or the one that Slurm gave it.
LEASE = "python -m dawgen_core.app.lease " if study.compute.device != "cpu" else ""
# papermill writes a .running copy that takes the output's name when it has run to its end.
PAPERMILL = (
    "papermill {input[0]:q} {output.notebook:q}.running.ipynb -k {KERNEL:q} -y {params.values:q} --no-progress-bar > {log:q} 2>&1"
    " || {{ tail -n 30 {log:q} >&2; echo executed so far: {output.notebook:q}.running.ipynb >&2; exit 1; }}; "
    "mv {output.notebook:q}.running.ipynb {output.notebook:q}"
)


def each(notebook):
    return [f"{RUN}/{task}/{notebook}.seeds-{group}.json" for task in study.tasks for group in GROUPS]


rule all:
    input:
        f"{RUN}/03_data_analysis.json",
        f"{RUN}/05_tables.json",
        [f"{RUN}/06_beyond.json"] if SWEEPS else [],


# All pairs are written before the long jobs begin: those then fill the cores to the end, the longest first.
rule generator_tuning:
    priority: 2
    input:
        code("01_generator_tuning"),
        WEIGHTS,
        lambda w: settings(w.task),
        lambda w: rows(w.task),
    output:
        notebook=f"{RUN}/notebooks/01_generator_tuning.{{task}}.seeds-{{group}}.ipynb",
        index=f"{RUN}/{{task}}/01_generator_tuning.seeds-{{group}}.json",
    log:
        f"{RUN}/logs/01_generator_tuning.{{task}}.seeds-{{group}}.log",
    threads: study.compute.threads
    resources:
        **size("generator_tuning"),
    params:
        values=given,
    shell:
        LEASE + PAPERMILL


# Where a profile splits a label's rows into shards, these are jobs of bounded size; 02 finds what they wrote.
def shards(w):
    n = -(-study.generation.per_class // study.generation.shard) if study.generation.shard else 0
    labels = profiles.load_task(w.task).labels
    return [f"{RUN}/{w.task}/shards.seeds-{w.group}/{label}-{number}.json" for label in labels for number in range(n)]


rule shard:
    priority: 2
    input:
        code("02_generation"),
        WEIGHTS,
        lambda w: settings(w.task),
        lambda w: rows(w.task),
        f"{RUN}/{{task}}/01_generator_tuning.seeds-{{group}}.json",
    output:
        f"{RUN}/{{task}}/shards.seeds-{{group}}/{{label}}-{{number}}.json",
    log:
        f"{RUN}/logs/shard.{{task}}.seeds-{{group}}.{{label}}-{{number}}.log",
    wildcard_constraints:
        label="[^/]+",
        number="[0-9]+",
    threads: study.compute.threads
    resources:
        **size("shard"),
    params:
        seeds=lambda w: GROUPS[w.group],
    shell:
        LEASE + "python -m dawgen_core.app.writing {PROFILE:q} {wildcards.task} --seeds {params.seeds} --label {wildcards.label:q}"
        " --shard {wildcards.number} --runs-dir {RUNS_DIR:q} --out {output:q}.running > {log:q} 2>&1"
        " || {{ tail -n 30 {log:q} >&2; exit 1; }}; mv {output:q}.running {output:q}"


rule generation:
    priority: 2
    input:
        code("02_generation"),
        WEIGHTS,
        lambda w: settings(w.task),
        lambda w: rows(w.task),
        f"{RUN}/{{task}}/01_generator_tuning.seeds-{{group}}.json",
        shards,
    output:
        notebook=f"{RUN}/notebooks/02_generation.{{task}}.seeds-{{group}}.ipynb",
        index=f"{RUN}/{{task}}/02_generation.seeds-{{group}}.json",
    log:
        f"{RUN}/logs/02_generation.{{task}}.seeds-{{group}}.log",
    threads: study.compute.threads
    resources:
        **size("generation"),
    params:
        values=given,
    shell:
        LEASE + PAPERMILL


rule data_analysis:
    input:
        code("03_data_analysis"),
        WEIGHTS,
        settings(*study.tasks),
        each("02_generation"),
    output:
        notebook=f"{RUN}/notebooks/03_data_analysis.ipynb",
        index=f"{RUN}/03_data_analysis.json",
    log:
        f"{RUN}/logs/03_data_analysis.log",
    resources:
        **size("data_analysis"),
    params:
        values=given,
    shell:
        LEASE + PAPERMILL


rule prompt_tuning:
    input:
        code("04_prompt_tuning"),
        WEIGHTS,
        lambda w: settings(w.task, *SOURCE_OF.get(w.task, [])),
        lambda w: [path for task in (w.task, *SOURCE_OF.get(w.task, [])) for path in rows(task)],
        f"{RUN}/{{task}}/02_generation.seeds-{{group}}.json",
    output:
        notebook=f"{RUN}/notebooks/04_prompt_tuning.{{task}}.seeds-{{group}}.ipynb",
        index=f"{RUN}/{{task}}/04_prompt_tuning.seeds-{{group}}.json",
    log:
        f"{RUN}/logs/04_prompt_tuning.{{task}}.seeds-{{group}}.log",
    threads: study.compute.threads
    resources:
        **size("prompt_tuning"),
    params:
        values=given,
    shell:
        LEASE + PAPERMILL


rule tables:
    input:
        code("05_tables"),
        settings(*study.tasks),
        named([params.PARAMS / "claims.yaml", *sorted((params.PARAMS / "published").glob("*.csv"))]),
        each("04_prompt_tuning"),
        f"{RUN}/03_data_analysis.json",
    output:
        notebook=f"{RUN}/notebooks/05_tables.ipynb",
        index=f"{RUN}/05_tables.json",
    log:
        f"{RUN}/logs/05_tables.log",
    resources:
        **size("tables"),
    params:
        values=given,
    shell:
        PAPERMILL


# The sweeps: every (task, group of seeds) by itself, then all of them once more, which finds everything done and draws.
if SWEEPS:
    PARTS = {f"{task}.seeds-{name}": {"tasks": [task], "seeds": [s for s in group if s in SWEEPS.seeds]}
             for task in SWEEPS.tasks for name, group in GROUPS.items() if set(group) & set(SWEEPS.seeds)}
    SWEPT = [*code("06_beyond"), *settings(*SWEEPS.tasks), *named([sweeps.path_of(study.profile)]), *WEIGHTS]
    SWEPT += [path for task in SWEEPS.tasks for path in rows(task)]

    rule sweep:
        input:
            SWEPT,
        output:
            notebook=f"{RUN}/notebooks/06_beyond.{{part}}.ipynb",
        log:
            f"{RUN}/logs/06_beyond.{{part}}.log",
        wildcard_constraints:
            part="[^/]+seeds-[0-9-]+",
        threads: study.compute.threads
        resources:
            **size("sweep"),
        params:
            values=given,
        shell:
            LEASE + PAPERMILL

    rule beyond:
        input:
            SWEPT,
            [f"{RUN}/notebooks/06_beyond.{part}.ipynb" for part in PARTS],
        output:
            notebook=f"{RUN}/notebooks/06_beyond.ipynb",
            index=f"{RUN}/06_beyond.json",
        log:
            f"{RUN}/logs/06_beyond.log",
        resources:
            **size("beyond"),
        params:
            values=given,
        shell:
            LEASE + PAPERMILL
