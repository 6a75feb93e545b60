package experiment

import (
	"errors"
	"fmt"
	"math"
	"slices"
	"strings"
	"time"

	"carpool/bench/target"
	"carpool/bench/worker"
	"carpool/bench/workload"
	"carpool/config"
)

// Plan is what is measured. Every field but those said to be optional must be set.
type Plan struct {
	URL      string  // of the reader's own server; empty: a private one
	SSLMode  string  // libpq's; empty: as the URL says, disable for a private server
	Unix     bool    // over Unix sockets
	Share    float64 // of the server's free connections that may be used, above 0 and at most 1
	Scale    int     // of tpcb's tables, in 100,000 accounts
	Binaries string  // directory of the Postgres programs for a private server; empty: looked for

	Workload   workload.Workload
	Script     string   // the text, when Workload was made of one
	Strategies []string // names of strategies or of groups of them; empty: all that can run here
	Rivals     []Rival  // other poolers, already running; optional
	Protocol   worker.Protocol

	Clients     int           // in all
	Processes   int           // over which they are spread
	PoolSize    int           // of a pooler, and of each process' own pool
	Rounds      int           // in which every strategy has its turn
	Duration    time.Duration // of a trial; 0: until Calls are done
	Calls       int64         // of a trial; 0: until Duration is over
	ThinkTime   time.Duration // between a client's calls; optional
	Rate        float64       // calls a second of all clients together; 0: as fast as they are answered
	IdleClients int           // for a workload of that shape
	Delay       time.Duration // added to each round trip to the database; optional
	Seed        uint64

	// FitClients permits to lower Clients, Processes and PoolSize to what the reader's own server has free.
	FitClients bool

	SweepPool    []int // sizes of the pool to try; optional
	SweepClients []int // numbers of clients to try; optional

	CommandLine string // for the report, without secrets
}

// Rival is another pooler that runs already.
type Rival struct {
	Name string
	URL  string
}

// maxClients bounds what one machine can sensibly play.
const maxClients = 20_000

// PlanError is a plan that makes no sense, in a sentence.
type PlanError struct{ text string }

func (e *PlanError) Error() string { return e.text }

func wrong(format string, args ...any) error { return &PlanError{fmt.Sprintf(format, args...)} }

// Check says the first thing that is wrong with the plan itself, as a *PlanError. Nothing outside is looked at.
func (p Plan) Check() error {
	switch {
	case p.Clients < 1:
		return wrong("--clients must be at least 1, not %d", p.Clients)
	case p.Clients > maxClients:
		return wrong("--clients must be at most %d, not %d", maxClients, p.Clients)
	case p.Processes < 1 || p.Processes > p.Clients:
		return wrong("--processes must be between 1 and the number of clients, %d, not %d", p.Clients, p.Processes)
	case p.PoolSize < 1:
		return wrong("--pool-size must be at least 1, not %d", p.PoolSize)
	case p.Rounds < 1:
		return wrong("--rounds must be at least 1, not %d", p.Rounds)
	case p.Scale < 1:
		return wrong("--scale must be at least 1, not %d", p.Scale)
	case math.IsNaN(p.Rate) || math.IsInf(p.Rate, 0):
		return wrong("--rate is a number of calls a second, not %g", p.Rate)
	case p.Duration < 0 || p.Calls < 0 || p.ThinkTime < 0 || p.Delay < 0 || p.Rate < 0 || p.IdleClients < 0:
		return wrong("--duration, --calls, --think-time, --delay, --rate and --idle-clients can't be negative")
	case p.Duration == 0 && p.Calls == 0:
		return wrong("a trial needs an end: --duration or --calls must be greater than 0")
	case !(p.Share > 0 && p.Share <= 1): // not a number isn't either
		return wrong("--share must be above 0 and at most 1, not %g", p.Share)
	}
	return errors.Join(p.checkCombinations(), checkNames(p.Strategies), p.checkSweeps())
}

func (p Plan) checkCombinations() error {
	switch {
	case !slices.Contains([]string{"", "disable", "require", "verify-ca", "verify-full"}, p.SSLMode):
		return wrong("--sslmode is disable, require, verify-ca or verify-full, not %q", p.SSLMode)
	case p.Unix && p.SSLMode != "" && p.SSLMode != "disable":
		return wrong("--unix and --sslmode=%s exclude each other: Postgres has no TLS on Unix sockets", p.SSLMode)
	case p.Delay > 0 && p.Unix:
		return wrong("--delay needs TCP: a Unix socket can't be to a remote database")
	case p.Rate > 0 && p.Workload.Shape == workload.Storm:
		return wrong("--rate doesn't go with the workload %s, whose waves come when the one before is over", p.Workload.Name)
	case p.Rate > 0 && p.ThinkTime > 0:
		return wrong("--rate and --think-time exclude each other: with a rate, calls begin when it is their time")
	case p.Rate > 0 && p.Duration == 0:
		return wrong("--rate needs --duration")
	case p.Script != "" && p.URL == "":
		return wrong("--file needs your own database: a private Postgres has none of the script's tables; set DATABASE_URL or --url")
	}
	if p.Delay > 0 && len(p.Rivals) > 0 {
		return wrong("--delay and --rival exclude each other: nothing can be put between a pooler that runs already and its database")
	}
	for _, rival := range p.Rivals {
		if rival.Name == "" || rival.URL == "" || strings.ContainsAny(rival.Name, " ,\t\n") {
			return wrong("--rival is NAME=URL, with a name of one word")
		}
		if _, known := find(rival.Name); known {
			return wrong("--rival can't be called %s, which is a strategy already", rival.Name)
		}
		if _, err := target.ParseServer(rival.URL); err != nil {
			return wrong("--rival %s: %v", rival.Name, err)
		}
	}
	return nil
}

func (p Plan) checkSweeps() error {
	for _, sweep := range []struct {
		name   string
		values []int
	}{{sweepPool, p.SweepPool}, {sweepClients, p.SweepClients}} {
		for _, value := range sweep.values {
			if value < 1 || value > maxClients {
				return wrong("--sweep %s: sizes are from 1 to %d, not %d", sweep.name, maxClients, value)
			}
		}
	}
	return nil
}

// place is where the workload's tables are.
func (p Plan) place(schema string) workload.Place {
	return workload.Place{Schema: schema, Scale: p.Scale}
}

// protocol is how statements are sent.
func (p Plan) protocol() worker.Protocol {
	if p.Workload.Prepared {
		return worker.Prepared
	}
	return p.Protocol
}

// server is the reader's own, with the sslmode that was asked for.
func (p Plan) server() (target.Server, error) {
	server, err := target.ParseServer(p.URL)
	if err != nil || p.SSLMode == "" {
		return server, err
	}
	for mode := config.SSLDisable; mode <= config.SSLVerifyFull; mode++ {
		if mode.String() == p.SSLMode {
			server.SSLMode = mode
		}
	}
	return server, nil
}
