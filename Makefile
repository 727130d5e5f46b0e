# make help lists the targets. PYTHON names the interpreter; ARGS goes to ansible-playbook, or to the test runner.
PYTHON ?= python3
ARGS ?=

.DEFAULT_GOAL := help
.PHONY: help bootstrap site lab teardown test test-gates test-cores test-unit test-services test-integration test-integration-full test-ways test-killed test-site test-site-full test-metal test-metal-full test-kernels test-hosts test-arm64 test-newcomer test-twice bench bench-xdp bench-drop bench-afxdp bench-api vm docs requirements build clean

help: ## List the targets
	@sed -n 's/^\([a-z0-9-]*\):.*## /  \1\t/p' $(MAKEFILE_LIST) | expand -t 22

bootstrap: ## Make .venv and fetch the pinned packages and collections
	@$(PYTHON) -m tools.bootstrap

site: ## Bring this machine to the whole site (ARGS="--check --diff" to look first)
	@$(PYTHON) -m tools.play site.yml $(ARGS)

lab: ## Make the lab NIC only: a veth pair with its far end in a network namespace
	@$(PYTHON) -m tools.play playbooks/lab.yml $(ARGS)

teardown: ## Remove what the site made, and nothing else
	@$(PYTHON) -m tools.play playbooks/teardown.yml $(ARGS)

test: ## Run everything CI runs
	@$(PYTHON) -m tools.check $(ARGS)

test-gates: ## Linters, types, sanity, documentation, the built artefact
	@$(PYTHON) -m tools.check gates $(ARGS)

test-cores: ## Sanity and the playbooks' syntax with the oldest and the newest ansible-core
	@$(PYTHON) -m tools.check cores $(ARGS)

test-unit: ## Unit tests, in seconds
	@$(PYTHON) -m tools.check unit $(ARGS)

test-services: ## Each service's own linters and tests, and the XDP object
	@$(PYTHON) -m tools.check services $(ARGS)

test-integration: ## Real programs, maps and packets on veth pairs
	@$(PYTHON) -m tools.check integration $(ARGS)

test-integration-full: ## All of them, with those that take minutes (CI leaves them out)
	@$(PYTHON) -m tools.check integration-full $(ARGS)

test-killed: ## Modules and agent killed before and after everything they change (CI tries one moment of twelve)
	@$(PYTHON) -m tools.check killed $(ARGS)

test-ways: ## Every tag of every playbook, and every role alone, in check mode
	@$(PYTHON) -m tools.check ways $(ARGS)

test-site: ## The whole site on this machine, end to end, with faults (as CI runs it)
	@$(PYTHON) -m tools.check site $(ARGS)

test-site-full: ## All tests of the site, with a broker that comes and goes
	@$(PYTHON) -m tools.check site-full $(ARGS)

test-metal: ## A bare-metal host in software: NUMA nodes, an igb NIC, a reboot, a guard, traffic (as CI runs it)
	@$(PYTHON) -m tools.check metal $(ARGS)

test-metal-full: ## All tests on that host, the whole site on it, power cuts (takes an hour and more)
	@$(PYTHON) -m tools.check metal-full $(ARGS)

test-kernels: ## Programs, policies and AF_XDP workers on the oldest supported kernel (Debian 12) and on the newest (backports)
	@$(PYTHON) -m tools.check kernels $(ARGS)

test-hosts: ## Two hosts on this machine, the API of one serving both: made, tried, made anew, parted again
	@$(PYTHON) -m tools.check hosts $(ARGS)

test-arm64: ## The services' images for arm64, emulated where this machine is another: built, started, and healthy
	@$(PYTHON) -m tools.check arm64 $(ARGS)

test-newcomer: ## The README's test command on a clean Debian (ARGS="--debian bookworm unit gates" chooses release and groups)
	@$(PYTHON) -m tools.newcomer $(ARGS)

test-twice: ## Build the services' images twice from nothing and compare their layers (ARGS="webui" chooses)
	@$(PYTHON) -m tools.twice $(ARGS)

bench: ## Figures beside those of peers, as ratios: policy entries, the cost of a run without changes
	@$(PYTHON) -m tools.check bench $(ARGS)

bench-xdp: ## What it costs to judge a packet, beside xdp-filter (docs/benchmarks has one such run)
	@$(PYTHON) -m tools.check bench-xdp $(ARGS)

bench-drop: ## How many packets a CPU drops in a second, beside release 1.0.0
	@$(PYTHON) -m tools.check bench-drop $(ARGS)

bench-afxdp: ## What a worker of AF_XDP receives and forwards, beside one in C (NIC=eth1 PEER=eth2 for two NICs that a cable joins)
	@$(PYTHON) -m tools.check bench-afxdp $(ARGS)

bench-api: ## What a request of the API costs, beside a plain Flask hello, and through the web interface and the front (takes PostgreSQL and Node)
	@$(PYTHON) -m tools.check bench-api $(ARGS)

vm: ## Such a host to try things on (ARGS="create NAME", "ssh NAME", "snapshot NAME TAG" ...)
	@$(PYTHON) -m tools.vm $(or $(ARGS),status)

docs: ## Write the roles' READMEs from their specifications, and build the documents' site into build/docs/
	@$(PYTHON) -m tools.bootstrap --test
	@.venv/bin/python -m tools.role_docs
	@.venv/bin/python -m tools.schemas
	@.venv/bin/python -m tools.pages

requirements: ## Pin what flask-backend's image installs (ARGS=--upgrade for the newest of all)
	@$(PYTHON) -m tools.requirements $(ARGS)

build: ## Build the collection's artefact into build/ (ARGS="--repository URL" to publish it)
	@$(PYTHON) -m tools.collection $(ARGS)

clean: ## Remove what the tools made in this checkout
	rm -rf .venv .cache build
