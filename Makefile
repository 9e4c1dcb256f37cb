# What a newcomer does here. Every target works on a fresh Debian with a Rust toolchain.

.PHONY: run demo test install

# The whole service on this machine, data under ./data.
run:
	cargo run --release

# The same with pictures of its own, without a network.
demo:
	cargo run --release -- demo

# Every test, against real servers.
test: install
	cargo test --workspace

# The compiler that Rust links with, and the servers that the tests start for themselves.
install:
	@missing=""; \
	command -v cc >/dev/null || missing="$$missing build-essential"; \
	ls /usr/lib/postgresql/*/bin/initdb >/dev/null 2>&1 || missing="$$missing postgresql"; \
	command -v curl >/dev/null || missing="$$missing curl"; \
	test -x /usr/sbin/nginx || missing="$$missing nginx-light"; \
	if [ -n "$$missing" ]; then \
		sudo=""; [ "$$(id -u)" = 0 ] || sudo=sudo; \
		$$sudo apt-get update -qq && \
		DEBIAN_FRONTEND=noninteractive $$sudo apt-get install -y -qq --no-install-recommends $$missing; \
	fi
