# carpool. `make demo` shows it at work, `make test` checks everything.
#
# Both need Go and make; what else is missing (a Postgres, a C compiler for the race detector) is installed with the
# system's package manager, and said. Nothing else on the machine is touched: every Postgres is private and temporary.

FUZZTIME ?= 30s
# What the program says that it was made of, in the reports of `carpool bench`.
COMMIT   := $(shell git describe --always --dirty --exclude '*' 2>/dev/null)
ARGS     ?=
APP      ?= flask-books

.PHONY: demo example test build cross fuzz bench compare fmt lint clean

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
	@.ci/need.sh postgres cc pgbouncer psycopg chromium bookstore
	@$(MAKE) --no-print-directory lint cross
	CGO_ENABLED=1 go test -race -timeout 9m ./...
	CGO_ENABLED=1 go test -race -timeout 5m -tags quiet -run TestQuiet ./cmd/carpool

# One static binary, ./carpool.
build:
	CGO_ENABLED=0 go build -trimpath -buildvcs=false -ldflags '-X main.commit=$(COMMIT)' -o carpool ./cmd/carpool

cross:
	@.ci/cross.sh

# Every fuzz target for FUZZTIME each.
fuzz:
	@FUZZTIME=$(FUZZTIME) .ci/fuzz.sh

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
