# Thin on purpose: each target is one or two commands that can be typed by hand. CI calls .ci/run, which calls these.
SHELL := /bin/bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help
.DELETE_ON_ERROR:
MAKEFLAGS += --no-print-directory

PY := .venv/bin/python
# Processes for `make test`, which mostly waits: one more than there are cores in CI.
JOBS ?= 3
# More words for pytest, for example ARGS="-k retry".
ARGS ?=
# Lines of output are wanted when they happen, also in a CI log.
export PYTHONUNBUFFERED := 1

.PHONY: help
help: ## Show this list
	@grep -hE '^[a-z-]+:.*?## ' $(MAKEFILE_LIST) | sed -E 's/^([a-z-]+):.*## (.*)/  make \1\t\2/' | expand -t 24

.PHONY: setup
setup: ## Make .venv with everything for demo, test and check (quick when nothing changed)
	@$$(tools/find-python) tools/environment.py test

.PHONY: demo
demo: ## Send real pictures through a mesh on this machine and write an HTML report; TRANSPORT= chooses the queues
	@$$(tools/find-python) tools/environment.py $(if $(filter sqs,$(TRANSPORT)),test,demo)
	@ASYA_TEST_INSTALL=$${ASYA_TEST_INSTALL:-$$([ "$$(id -u)" = 0 ] && echo 1 || echo 0)} $(PY) tools/demo.py --transport $(or $(TRANSPORT),sqlite)

# What the tests of tracing send to; it takes minutes to build, once, and no test should have to wait for that.
.PHONY: collector
collector: setup
	@$(PY) -m tests.support.otel

.PHONY: test
test: setup collector ## Run the tests, against a real RabbitMQ too (installed by apt when root on Debian)
	@ASYA_TEST_INSTALL=$${ASYA_TEST_INSTALL:-$$([ "$$(id -u)" = 0 ] && echo 1 || echo 0)} $(PY) -m pytest -n $(JOBS) --dist loadgroup -m "not slow and not charts and not apiserver and not variant" $(ARGS)

.PHONY: slow
slow: setup collector ## Run the tests that `make test` leaves out because they take long: brokers that die, searches, the second engine
	@ASYA_TEST_INSTALL=$${ASYA_TEST_INSTALL:-$$([ "$$(id -u)" = 0 ] && echo 1 || echo 0)} $(PY) -m pytest -n $(JOBS) --dist loadgroup -m "slow and not apiserver and not variant" $(ARGS)

.PHONY: variants
variants: setup ## Run the contract suite on FIFO queues of SQS and streams of Pub/Sub too
	$(PY) -m pytest tests/contract -n $(JOBS) --dist loadgroup -m variant $(ARGS)

.PHONY: apiserver
apiserver: setup ## Run the tests that need a real kube-apiserver, without a node (built by `make tools`)
	$(PY) -m pytest -n $(JOBS) --dist loadgroup -m apiserver $(ARGS)

.PHONY: simulate
simulate: setup ## Search histories of crashes for a lost message: SEEDS=n, or SEED=n for one with its story (SHRINK=1)
	@$(PY) -m tests.simulation $(if $(SEED),--seed $(SEED) $(if $(SHRINK),--shrink),--seeds $(or $(SEEDS),2000)) $(if $(PLANT),--plant $(PLANT))

.PHONY: fuzz
fuzz: setup ## Feed mutated envelopes, frames and headers to whatever reads them: EXAMPLES=n (default 100000)
	@$(PY) -m tests.fuzz --examples $(or $(EXAMPLES),100000)

.PHONY: check
check: setup ## Lint, types, layers, locks, docs, generated pages: everything without a broker
	.venv/bin/ruff check
	.venv/bin/ruff format --check
	.venv/bin/mypy
	.venv/bin/lint-imports
	$(PY) tools/lock.py --check
	$(PY) tools/check_versions.py
	$(PY) tools/check_tracked.py
	$(PY) tools/reference.py --check
	$(PY) tools/guarantees.py --check
	$(PY) tools/kubernetes_parts.py --check
	$(PY) tools/xrd.py --check
	$(PY) tools/dashboards.py --check
	$(PY) tools/charts.py --check
	$(PY) tools/delay_ladder.py --check
	$(PY) tools/packages.py --check
	$(PY) tools/check_docs.py

.PHONY: bench
bench: setup ## Measure, beside FastStream, Dramatiq, Taskiq, Celery and bare loops; QUICK=1 for a short run
	@$$(tools/find-python) tools/environment.py bench
	@$(PY) -m benchmarks $(if $(QUICK),--quick)

.PHONY: torture
torture: setup ## Break everything while messages flow, and count them; LONG=1 ROW= TRANSPORT= ENGINE= choose
	@ASYA_TEST_INSTALL=$${ASYA_TEST_INSTALL:-$$([ "$$(id -u)" = 0 ] && echo 1 || echo 0)} $(PY) -m tests.torture \
	  $(if $(LONG),--long --keep) $(foreach row,$(ROW),--row '$(row)') $(foreach each,$(TRANSPORT),--transport $(each)) $(if $(ENGINE),--engine $(ENGINE))

.PHONY: tools
tools: ## Build helm, kubectl, kube-apiserver and others, pinned, from their Go modules; TOOLS="name or group" chooses
	@$$(tools/find-python) tools/go_tools.py build $(TOOLS)

.PHONY: cluster-tools
cluster-tools: ## Build what a Kubernetes of one node is made of, and what is installed on it
	@$$(tools/find-python) tools/go_tools.py build api render cluster

# A name other than `asya` makes a cluster beside it: NAME=…
NAME ?= asya
HARNESS = ASYA_TEST_INSTALL=$${ASYA_TEST_INSTALL:-0} $(PY) -m tests.cluster --name $(NAME)

.PHONY: cluster-up
cluster-up: setup ## Bring up a Kubernetes of one node with brokers, in namespaces of its own (Linux, root, no Docker)
	@$(HARNESS) up

.PHONY: cluster-install
cluster-install: setup ## Install Crossplane, the topology operator, KEDA and Asya on it; PARTS="names" chooses
	@$(HARNESS) install $(PARTS)

.PHONY: cluster-down
cluster-down: setup ## Take it down; nothing is left behind but the cache
	@$(HARNESS) down

.PHONY: cluster-status
cluster-status: setup ## Show its processes, nodes and pods
	@$(HARNESS) status

.PHONY: cluster-logs
cluster-logs: setup ## Show the logs of its processes; LOGS="names" chooses
	@$(HARNESS) logs $(LOGS)

.PHONY: cluster-test
cluster-test: setup ## Test the cluster itself: a node, pods, names, nothing left behind
	@$(PY) -m pytest tests/cluster -m cluster -n 0 $(ARGS)

# `own` is the one-node cluster of tests/cluster.
CLUSTER ?= own
# On Debian as root, what is missing is installed, and Go is brought where there is none.
E2E = command -v go >/dev/null || $$(tools/find-python) tools/environment.py go; \
  ASYA_TEST_INSTALL=$${ASYA_TEST_INSTALL:-$$([ "$$(id -u)" = 0 ] && echo 1 || echo 0)} KEEP=$(KEEP) NAME=$(if $(filter asya,$(NAME)),$(1),$(NAME))

.PHONY: e2e
e2e: setup ## Bring up a cluster, install Asya, break everything, report in build/e2e; CORE=1 less of it, LONG=1 more, KEEP=1 leaves it up
	@$(call E2E,e2e) CLUSTER=$(CLUSTER) CORE=$(CORE) LONG=$(LONG) $(PY) -m tests.cluster.e2e $(ARGS)

.PHONY: e2e-scale
e2e-scale: setup ## Measure what many actors without pods cost the control plane; ARGS="25 200" are how many
	@$(call E2E,scale) $(PY) -m tests.cluster.e2e.scale $(ARGS)

.PHONY: e2e-charts
e2e-charts: setup chart-deps ## Check the release on a running cluster: of NAME, or of KUBECONFIG with CLUSTER=kubeconfig
	@$$(tools/find-python) tools/environment.py helm-charts
	$(if $(filter own,$(CLUSTER)),@$(HARNESS) exec) .venvs/helm-charts/bin/python -m pytest -c tests/cluster/charts/pytest.ini tests/cluster/charts $(ARGS)

.PHONY: kind-up
kind-up: setup ## Make a cluster with kind and load what `make images` has built, for `make e2e CLUSTER=kind`; needs Docker
	@$$(tools/find-python) tools/environment.py kind
	@.venvs/kind/bin/python -m tests.cluster.e2e.kind_cluster up

.PHONY: kind-down
kind-down: ## Delete it
	@$$(tools/find-python) tools/environment.py kind
	@.venvs/kind/bin/python -m tests.cluster.e2e.kind_cluster down

.PHONY: chart-deps
chart-deps: setup ## Bring the charts that the chart asya bundles; KEDA's own manifests where its repository is unreachable
	@$(PY) tools/charts_deps.py

.PHONY: charts
charts: chart-deps ## Lint the charts with ct and test what they render, with Helm 4 and 3 (built by `make tools`)
	$(PY) tools/charts_lint.py
	$(PY) -m pytest tests/charts tests/gitops/test_build.py -n $(JOBS) --dist loadgroup -m "not apiserver" $(ARGS)

.PHONY: render
render: setup ## Render XR=crossplane/examples/….yaml offline with Crossplane's own engine (built by `make tools`)
	@$(PY) tools/render.py $(or $(XR),$(error XR=FILE names the AsyncActor)) $(ARGS)

.PHONY: render-all
render-all: setup ## Render all examples so and compare them with the golden files
	$(PY) -m pytest tests/packages/test_render.py $(ARGS)

.PHONY: packages
packages: setup ## Build Crossplane's packages in build/packages; ARCHITECTURES=amd64,arm64 BASE=image choose the image
	@$(PY) tools/packages.py $(if $(ARCHITECTURES),--architectures $(ARCHITECTURES)) $(if $(BASE),--base $(BASE))

.PHONY: images
images: setup ## Build the images in build/images with Docker or buildah; IMAGES="names" BASE=image choose
	@$(PY) tools/images.py $(IMAGES) $(if $(BASE),--base $(BASE))

.PHONY: golden
golden: setup ## Write the golden files anew from what is rendered now; look at the diff
	ASYA_WRITE_GOLDEN=1 $(PY) -m pytest tests/charts/test_golden.py tests/compose/test_golden.py tests/compose/test_input.py $(ARGS)

.PHONY: release
release: setup ## Set VERSION=x.y.z everywhere and date the changelog; committing and tagging are left to you
	@$(PY) tools/release.py $(or $(VERSION),$(error VERSION is needed, such as VERSION=0.2.0))
	@$(MAKE) generate docs golden
	@$(PY) tools/check_versions.py

.PHONY: format
format: setup ## Let ruff rewrite what it can
	.venv/bin/ruff check --fix --quiet
	.venv/bin/ruff format --quiet

.PHONY: lock
lock: setup ## Resolve requirements/*.txt again (needs uv and the network); UPGRADE=1 for newest versions
	@$(PY) tools/lock.py $(if $(UPGRADE),--upgrade)

.PHONY: docs
docs: setup ## Write the reference pages again from the code
	@$(PY) tools/reference.py
	@$(PY) tools/guarantees.py
	@$(PY) tools/dashboards.py
	@$(PY) tools/charts.py

.PHONY: generate
generate: setup ## Write again what is made from models and lists: definitions, the charts' copies, packages
	@$(PY) tools/kubernetes_parts.py
	@$(PY) tools/xrd.py
	@$(PY) tools/charts.py
	@$(PY) tools/delay_ladder.py
	@$(PY) tools/packages.py --write

.PHONY: clean
clean: ## Remove environments, caches and everything that was built
	rm -rf .venv .venvs .asya build dist .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
