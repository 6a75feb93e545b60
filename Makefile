# carpool. `make demo` shows it at work, `make test` checks everything.
#
# Both need Go and make; what else is missing (a Postgres, a C compiler for the race detector) is installed with the
# system's package manager, and said. Nothing else on the machine is touched: every Postgres is private and temporary.

FUZZTIME ?= 30s
# What the program says that it was made of, in the reports of `carpool bench`.
COMMIT   := $(shell git describe --always --dirty --exclude '*' 2>/dev/null)
ARGS     ?=
APP      ?= flask-books

# Where releases go, and for which systems they are.
DIST      ?= build/dist
PLATFORMS ?= linux/amd64 linux/arm64

.PHONY: demo example test build dist cross fuzz faults bench compare fmt lint clean

# 200 clients share 10 server connections. ARGS=--keep leaves it up until Ctrl-C.
demo:
	@.ci/need.sh postgres
	@$(MAKE) --no-print-directory build
	@./carpool demo $(ARGS)

# A small real application with its release, web and worker processes behind carpool. APP=django-books is the other one.
example:
	@.ci/need.sh postgres bookstore
	@$(MAKE) --no-print-directory build
	@go run ./deploy/examples/run -carpool ./carpool $(APP)

test:
	@.ci/need.sh postgres cc pgbouncer psycopg chromium bookstore drivers
	@$(MAKE) --no-print-directory lint cross
	CGO_ENABLED=1 go test -race -timeout 15m ./...
	CGO_ENABLED=1 go test -race -timeout 10m -tags quiet -run TestQuiet ./cmd/carpool
	CGO_ENABLED=0 go test -timeout 5m -tags quiet -run TestQuiet ./proxy

# One static binary, ./carpool.
build:
	CGO_ENABLED=0 go build -trimpath -buildvcs=false -ldflags '-X main.commit=$(COMMIT)' -o carpool ./cmd/carpool

# Releases: carpool-OS-ARCH.tar.gz with the binary and the licence, the same bytes whenever they are made of the same commit, and
# SHA256SUMS. CARPOOL_DOWNLOAD_URL and CARPOOL_DOWNLOAD_SHA256 of the Heroku buildpack want one of them and its sum.
dist:
	@set -e; mkdir -p "$(DIST)"; rm -f "$(DIST)/SHA256SUMS"; for platform in $(PLATFORMS); do \
		name=carpool-$${platform%/*}-$${platform#*/}; dir="$(DIST)/$$name"; mkdir -p "$$dir"; cp LICENSE "$$dir"; \
		CGO_ENABLED=0 GOOS=$${platform%/*} GOARCH=$${platform#*/} go build -trimpath -buildvcs=false \
			-ldflags '-s -w -X main.commit=$(COMMIT)' -o "$$dir/carpool" ./cmd/carpool; \
		chmod 755 "$$dir" "$$dir/carpool"; chmod 644 "$$dir/LICENSE"; \
		tar --sort=name --mtime=@0 --owner=0 --group=0 --numeric-owner -C "$(DIST)" -cf - "$$name" | gzip -9n >"$$dir.tar.gz"; \
		rm -r "$$dir"; (cd "$(DIST)" && sha256sum "$$name.tar.gz" | tee -a SHA256SUMS); \
	done

cross:
	@.ci/cross.sh

# Every fuzz target for FUZZTIME each.
fuzz:
	@FUZZTIME=$(FUZZTIME) .ci/fuzz.sh

# Breaks server, network, clients and carpool at length, some minutes, and writes what it measured into docs/reliability.md.
# `make test` does the same more shortly.
faults:
	@.ci/need.sh postgres cc
	CGO_ENABLED=1 go test -race -count=1 -timeout 30m -v ./bench/faults -args -full -update

# What pooling is worth: the standard set of `carpool bench`, with its tables and pictures in docs/benchmarks.md.
bench:
	@.ci/need.sh postgres pgbouncer psycopg
	@$(MAKE) --no-print-directory build
	@.ci/bench.sh

# carpool beside pgbouncer, interleaved, on this machine. ARGS="--quick" for a first look.
compare:
	@.ci/need.sh postgres pgbouncer
	@$(MAKE) --no-print-directory build
	@./carpool compare $(ARGS)

fmt:
	go tool gofumpt -w .

lint:
	@unformatted=$$(go tool gofumpt -l .); if [ -n "$$unformatted" ]; then \
		echo "not formatted (make fmt does it):"; echo "$$unformatted"; exit 1; fi
	go vet ./...
	go tool staticcheck ./...

clean:
	rm -rf carpool build
	go clean -testcache
