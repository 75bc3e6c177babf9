# Two commands for everybody: `make reproduce` and `make test`. The rest is for whoever works on the library.
SHELL := /bin/bash
VENV ?= .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.installed
RERUN := $(VENV)/.installed-to-rerun
STUDY ?= crimealarm
PROFILE ?= smoke
DATASET ?=
PARAMS ?=
OUT ?= runs
JOBS ?= 2
# of make gpu: minutes after which it stops by itself, runs at a time on the GPU, and what is run
BUDGET ?= 30
GPU_JOBS ?= 3
SWEEP ?= nbs/reproduce/params/gpu.yaml
# the first Python of 3.10 or later; name another one with PYTHON=…
PYTHON ?= $(shell for p in python3 python3.14 python3.13 python3.12 python3.11 python3.10; do \
	$$p -c 'import sys; sys.exit(sys.version_info < (3, 10))' 2>/dev/null && echo $$p && break; done)

.DEFAULT_GOAL := help
.PHONY: help env reproduce gpu gpu-data record test matrix export clean-notebooks readme sync docs distclean

help:
	@echo "make reproduce [STUDY=crimealarm] [PROFILE=smoke|cpu|paper] [DATASET=name] [PARAMS=\"epochs=5 seed=1\"] [OUT=runs]"
	@echo "make gpu [BUDGET=30] everything at the papers' settings, most valuable first, from \$$CRIMENB_DATA; called again it goes on"
	@echo "make test      every check, in an environment of its own ($(VENV))"
	@echo "make matrix    do all Pythons find their packages, and do tests without torch pass on those that are here"
	@echo "make record    put the results of $(OUT) that are not of the smoke profile into data/results"
	@echo "make sync      notebooks -> crimenb/, clean notebooks, README.md"
	@echo "make docs      all notebooks as a site, in _docs"
	@echo "make distclean remove the environment and everything that was built"

env: $(STAMP)

# Made again only when what it is made from has changed. A rerun needs less than whoever works on the library:
# no type checker, no notebook server, no test runner. Both may lie in one folder.
$(STAMP): EXTRA := dev
$(RERUN): EXTRA := reproduce
$(STAMP) $(RERUN): settings.ini setup.py pyproject.toml constraints.txt
	@test -n "$(PYTHON)" || { echo "crimenb needs Python 3.10 or later, and there is none here: install it, or name it with make PYTHON=/path/to/python3" >&2; exit 1; }
	@"$(PYTHON)" -c 'import sys; sys.exit(sys.version_info < (3, 10))' || { echo "crimenb needs Python 3.10 or later, and $(PYTHON) is older or missing: name another one with make PYTHON=/path/to/python3" >&2; exit 1; }
	@test -x "$(BIN)/python" || "$(PYTHON)" -m venv "$(VENV)" || { echo "$(PYTHON) -m venv failed: on Debian and Ubuntu, install python3-venv" >&2; exit 1; }
	@echo "installing crimenb[$(EXTRA)] into $(VENV), a minute or two (what pip says: $(VENV)/install.log)"
	@"$(BIN)/python" -m pip --disable-pip-version-check install --no-compile --constraint constraints.txt --editable ".[$(EXTRA)]" >"$(VENV)/install.log" 2>&1 \
		|| { tail -n 20 "$(VENV)/install.log" >&2; echo "pip could not install crimenb[$(EXTRA)]: the lines above say why, $(VENV)/install.log has all of them" >&2; exit 1; }
	@touch "$(RERUN)" "$@"

reproduce: $(RERUN)
	@"$(BIN)/crimenb" reproduce "$(STUDY)" --profile "$(PROFILE)" $(if $(DATASET),--dataset "$(DATASET)") --out "$(OUT)" $(foreach p,$(PARAMS),-p "$(p)")

# the sweep says what is done and what is left; a machine that is lent for minutes is given back in time
# before anything is installed
gpu-data:
	@test -d "$(CRIMENB_DATA)" || { echo "make gpu needs no network but a folder of data: fetch them elsewhere (crimenb fetch), and name it with CRIMENB_DATA=/path" >&2; exit 1; }

gpu: gpu-data $(RERUN)
	@CRIMENB_DATA="$(CRIMENB_DATA)" "$(BIN)/crimenb" sweep "$(SWEEP)" --out "$(OUT)" --budget "$(BUDGET)" --workers "$(GPU_JOBS)"

record: $(RERUN)
	@"$(BIN)/python" -c 'import sys; from crimenb.lab import studies; print(*studies.record(sys.argv[1]), sep="\n")' "$(OUT)"

export: $(STAMP)
	@"$(BIN)/nbdev-export"

clean-notebooks: $(STAMP)
	@"$(BIN)/nbdev-clean"

readme: $(STAMP)
	@"$(BIN)/python" -c 'from crimenb.lab import site; open("README.md", "w", encoding="utf-8").write(site.readme("."))'

# in this order, also under make -j
sync: $(STAMP)
	@$(MAKE) --no-print-directory export
	@$(MAKE) --no-print-directory clean-notebooks
	@$(MAKE) --no-print-directory readme

# One thread a process, $(JOBS) at a time. Hundreds of processes import the same libraries: their bytecode is kept, also where the
# surroundings say otherwise (containers often do), or half of the time would go into compiling torch and pandas. nbdev-test runs the notebooks in a copy of the tree, without network (tests/notebooks.py);
# pytest compares what they showed with what is stored, and runs everything else. Neither runs what the other has run.
test: export OMP_NUM_THREADS := 1
test: export PYTHONDONTWRITEBYTECODE :=
test: $(STAMP)
	@folder=$$(mktemp -d) && trap 'rm -rf "$$folder"' EXIT && failed=0 \
		&& { "$(BIN)/python" tests/notebooks.py "$$folder" --workers $(JOBS) || failed=1; } \
		&& { CRIMENB_EXECUTED="$$folder" "$(BIN)/python" -m pytest --numprocesses $(JOBS) --dist loadfile --no-loadscope-reorder || failed=1; } \
		&& exit $$failed

# needs the network, and for the tests the interpreters that are here
matrix: $(STAMP)
	@"$(BIN)/python" tests/matrix.py

docs: $(STAMP)
	@"$(BIN)/python" -c 'import sys; from crimenb.lab import site; site.build(".", "_docs"); sys.exit("\n".join(site.dead_links("_docs")) or 0)'
	@echo "_docs/index.html"

distclean:
	rm -rf "$(VENV)" _docs build dist runs nbs/reproduce/runs crimenb.egg-info
