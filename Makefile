# Everything here needs Go and nothing else, unless a target says so.

GO      ?= go
BIN     := bin
FUZZ    ?= 20s
KILLS   ?= 50
STATES  ?= 3000

.PHONY: build run demo test lint unit fuzz bench bench-store bench-delivery bench-tracking crash clean

build: ## the daemon and its tools, in bin/
	$(GO) build -trimpath -o $(BIN)/postrider ./cmd/postrider

run: build ## a daemon on loopback ports: the example configuration, and a sink as the world
	@mkdir -p .run
	@sed 's|^# data_dir = .*|data_dir = "data"|' config.example.toml > .run/postrider.toml
	@printf '\n[[route]]\nmatch = "*"\nvia = "127.0.0.1:2526"\n' >> .run/postrider.toml
	@echo 'try: bin/postrider --socket .run/data/admin.sock send --from you@example.com me@example.net'
	@$(BIN)/postrider sink --listen 127.0.0.1:2526 & sink=$$!; \
	trap 'kill $$sink' EXIT; $(BIN)/postrider serve --config .run/postrider.toml

demo: build ## the main job, end to end, with a report
	$(GO) run ./test/demo -binary $(BIN)/postrider

test: lint unit ## everything

lint:
	$(GO) vet ./...
	$(GO) tool staticcheck ./...
	@unformatted="$$($(GO) tool gofumpt -l .)"; \
	if [ -n "$$unformatted" ]; then echo "run gofumpt on:"; echo "$$unformatted"; exit 1; fi

unit:
	$(GO) test -race -shuffle=on -timeout 20m ./...

fuzz: ## each fuzz target for FUZZ (default 20s)
	@$(GO) list ./... | while read -r package; do \
		for target in $$($(GO) test -list '^Fuzz' $$package | grep '^Fuzz'); do \
			echo "$$package $$target"; \
			$(GO) test -run '^$$' -fuzz "^$$target$$" -fuzztime $(FUZZ) $$package || exit 1; \
		done; \
	done

bench: build ## the daemon, and Postfix where it is installed, over the same work
	$(GO) run ./bench -binary $(BIN)/postrider

bench-store: build ## the store: memory and start with a backlog, and what an accept and a settle cost
	$(GO) run ./bench/store -binary $(BIN)/postrider

bench-delivery: build ## sending: round trips beside Postfix, few and many destinations, many sites known, a pause's end
	$(GO) run ./bench/delivery -binary $(BIN)/postrider

bench-tracking: build ## tracking: rewriting, and clicks beside a bare handler that redirects
	$(GO) run ./bench/tracking -binary $(BIN)/postrider

crash: ## power failures of the store and the daemon (STATES, default 3000) and kills under load (KILLS, default 50), with the sums
	$(GO) run ./test/crash -states $(STATES) -kills $(KILLS)

clean:
	rm -rf $(BIN)
