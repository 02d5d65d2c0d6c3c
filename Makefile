# Two commands for a fresh machine: `make reproduce` and `make test`. Each sets up .venv first (once).
PROFILE ?= pocket
CORES   ?= 2
KERNEL  ?= python3
ON      ?= local
DEVICE  ?= cpu
SURVIVE ?= tests/survive
PYTHON  ?= python3
BIN     := .venv/bin
RUN     := $(BIN)/python -m dawgen_core.app.reproduce

.PHONY: setup reproduce test test-browser test-cluster test-survive study check-figures lab pages publish plan bench pocket-models pocket-gates pocket-search lint clean
.DEFAULT_GOAL := reproduce

.venv/.ready: pyproject.toml constraints.txt
	@$(PYTHON) -c 'import sys; v = sys.version_info[:2]; v >= (3, 11) or sys.exit(f"expected Python 3.11 or later, found {v[0]}.{v[1]}; run make PYTHON=python3.11")'
	@echo "Setting up .venv (once, a few minutes) ..."
	@$(PYTHON) -m venv --clear .venv
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e '.[notebooks,dev]'
	@touch $@

setup: .venv/.ready  ## the environment alone
	@echo ".venv is ready; next: make reproduce, make lab, or $(BIN)/dawgen --help"

reproduce: .venv/.ready  ## run every notebook of PROFILE in sequence; resumes where it stopped
	@$(RUN) $(PROFILE) --cores $(CORES) --kernel $(KERNEL) --on $(ON)

study: .venv/.ready  ## every pocket task, ten seeds, both classifiers, every row: hours; resumes
	@$(RUN) study --cores $(CORES) --kernel $(KERNEL) --on $(ON)
	@$(RUN) study_flan --cores $(CORES) --kernel $(KERNEL) --on $(ON)

check-figures: .venv/.ready  ## hold the tables of PROFILE's run against the committed ones
	@$(BIN)/python -m dawgen_core.app.check_figures $(PROFILE)

plan: .venv/.ready  ## list the jobs of PROFILE without running them
	@$(RUN) $(PROFILE) -n

test: .venv/.ready  ## unit, contract and smoke tests
	@$(BIN)/python -m pytest -q -n 2 --dist worksteal -m "not browser and not cluster and not survive"

test-browser: .venv/.ready  ## drives the audit page and JupyterLab in a real headless Chromium
	@$(BIN)/python -m pytest -q tests/browser -m browser

test-cluster: .venv/.ready  ## the smoke profile on a Slurm cluster of two nodes on this machine, one of which fails; needs slurm-wlm and munge
	@$(BIN)/python -m pytest -q tests/cluster -m cluster

test-survive: .venv/.ready  ## kills, starves and damages whole runs; DAWGEN_KILLS says how many kills
	@$(BIN)/python -m pytest -q $(SURVIVE) -m survive

lab: .venv/.ready  ## JupyterLab on the right kernel, at the tour
	@$(BIN)/jupyter lab notebooks/00_tour.ipynb

pages: .venv/.ready  ## the executed notebooks of PROFILE as HTML pages, solutions folded, into runs/PROFILE/pages
	@$(BIN)/jupyter nbconvert --log-level WARN --to html --template page --TemplateExporter.extra_template_basedirs=notebooks \
		--output-dir runs/$(PROFILE)/pages runs/$(PROFILE)/notebooks/*.ipynb
	@echo "runs/$(PROFILE)/pages"

publish: .venv/.ready  ## copy tables and figures of PROFILE into figures/, with their manifest
	@$(BIN)/python -m dawgen_core.app.publish $(PROFILE)

bench: .venv/.ready  ## what the method's levers are worth on this machine, into figures/bench (DEVICE=cuda for a GPU)
	@$(BIN)/python -m dawgen_core.bench --device $(DEVICE)

pocket-models: .venv/.ready  ## train the pocket models from seeds into runs/pocket-models (resumes; an estimated two hours on 2 cores)
	@$(BIN)/python -m dawgen_core.pocket.pretraining

pocket-search: .venv/.ready  ## try the configurations of dawgen_core/pocket/search.yaml on the development tasks (resumes)
	@$(BIN)/python -m dawgen_core.pocket.search

pocket-gates: .venv/.ready  ## measure whether the pocket world is fit for the study; writes the report beside the weights
	@$(BIN)/python -m dawgen_core.pocket.gates

lint: .venv/.ready
	@$(BIN)/ruff check . && $(BIN)/nbstripout --verify --keep-id --extra-keys "metadata.papermill cell.metadata.papermill" notebooks/*.ipynb

clean:  ## forget the environment; results under runs/ stay
	rm -rf .venv
