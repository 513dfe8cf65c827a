# `make run` and `make test` first install what is missing; apart from that they are `cargo run` and
# `cargo test`.

help: ## Show these targets
	@sed -n 's/^\([a-z]*\):.*## /  make \1	/p' $(MAKEFILE_LIST)

run: ## Serve the API on http://127.0.0.1:8080, with a PostgreSQL of its own
	@scripts/setup.sh cargo run

# `make test COVERAGE=yes` measures it on the way.
test: ## Run all tests; the last line counts them
	@scripts/setup.sh scripts/$(if $(COVERAGE),coverage,test).sh

coverage: ## Run all tests and print how much of src/ they execute
	@$(MAKE) --no-print-directory test COVERAGE=yes

lint: ## Check the format and run clippy
	cargo fmt --check
	cargo clippy --locked --workspace --all-targets -- --deny warnings

doc: ## Build the documentation of the source, private items too
	RUSTDOCFLAGS='--deny warnings' cargo doc --locked --workspace --no-deps --document-private-items

deny: ## Check licences, sources and known vulnerabilities of the dependencies
	@scripts/deny.sh

postman: ## Generate the Postman collection from openapi/openapi.json and postman/flow
	@node postman/generate.mjs

newman: ## Run the Postman collections against fresh servers
	@scripts/setup.sh postman/run.sh

browser: ## Use the pages, Swagger UI and a frontend in a headless Chromium
	@scripts/setup.sh tests/browser/run.sh

clients: ## Verify tokens with libraries, call the API with generated clients
	@scripts/setup.sh tests/clients/run.sh

bench: ## Measure against the baselines and write bench/RESULTS.md (about 20 minutes)
	@command -v wrk >/dev/null || apt-get -qq -y install wrk || { echo 'install the load generator wrk first'; exit 1; }
	@scripts/setup.sh cargo build --locked --release --workspace
	target/release/mintage-bench

chaos: ## Break what Mintage depends on and write bench/FAULTS.md (about 5 minutes)
	@scripts/setup.sh cargo build --locked --release --workspace
	target/release/mintage-chaos

hooks: ## Install the git hooks: format, spelling, commit messages, clippy
	python3 -m venv target/ci
	target/ci/bin/pip install --quiet --disable-pip-version-check --requirement .ci/tools/requirements.txt
	target/ci/bin/pre-commit install

setup: ## Install a C compiler, libpq and PostgreSQL, if missing
	@scripts/setup.sh

.PHONY: help run test coverage lint doc deny postman newman browser clients bench chaos hooks setup
