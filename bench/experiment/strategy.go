package experiment

import (
	"slices"
	"strings"

	"carpool/bench/worker"
	"carpool/bench/worker/lecture"
)

// strategy is one way in which the calls come by their connections.
type strategy struct {
	name      string
	technique worker.Technique
	via       via
	mode      string // of the pooler: transaction or session
	python    bool   // the lecture's program, not ours
	url       string // of a rival
}

// via is what the clients connect to.
type via int

const (
	straight  via = iota // the database itself
	carpool              // a carpool that is launched for the trial
	pgbouncer            // a pgbouncer that is launched for the trial
	rival                // a pooler that runs already
)

const (
	transactionMode = "transaction"
	sessionMode     = "session"
)

// known are the strategies in the order of the table; the lecture's own program comes after them.
var known = append([]strategy{
	{name: "none", technique: worker.Connect},
	{name: "global", technique: worker.Global},
	{name: "global-unsafe", technique: worker.GlobalUnsafe},
	{name: "driver-pool", technique: worker.DriverPool},
	{name: "direct", technique: worker.Kept},
	{name: "carpool-connect", technique: worker.Connect, via: carpool, mode: transactionMode},
	{name: "carpool", technique: worker.Kept, via: carpool, mode: transactionMode},
	{name: "carpool-session", technique: worker.Kept, via: carpool, mode: sessionMode},
	{name: "pgbouncer-connect", technique: worker.Connect, via: pgbouncer, mode: transactionMode},
	{name: "pgbouncer", technique: worker.Kept, via: pgbouncer, mode: transactionMode},
	{name: "pgbench", technique: pgbenchTechnique},
}, lectures()...)

// lectures are the rows of the lecture's program.
func lectures() []strategy {
	var rows []strategy
	for _, row := range lecture.Rows() {
		s := strategy{name: row.Name, technique: worker.Technique(row.Technique), python: true}
		if row.Carpool {
			s.via, s.mode = carpool, transactionMode
		}
		rows = append(rows, s)
	}
	return rows
}

// pythonGroup is the name for all rows of the lecture's program.
const pythonGroup = "python"

func find(name string) (strategy, bool) {
	at := slices.IndexFunc(known, func(s strategy) bool { return s.name == name })
	if at < 0 {
		return strategy{}, false
	}
	return known[at], true
}

// Names are what Plan.Strategies may hold: the strategies in the order of the table, and the group "python".
func Names() []string {
	var names []string
	for _, s := range known {
		names = append(names, s.name)
	}
	return append(names, pythonGroup)
}

func checkNames(names []string) error {
	for _, name := range names {
		if !slices.Contains(Names(), name) {
			return wrong("no strategy is called %q: %s are known", name, strings.Join(Names(), ", "))
		}
	}
	return nil
}

// strategies are those of the plan in the order of the table; its rivals come last.
func (p Plan) strategies() []strategy {
	var chosen []strategy
	for _, s := range known {
		if len(p.Strategies) == 0 && s.technique != pgbenchTechnique || slices.Contains(p.Strategies, s.name) || s.python && slices.Contains(p.Strategies, pythonGroup) {
			chosen = append(chosen, s)
		}
	}
	for _, r := range p.Rivals {
		chosen = append(chosen, strategy{
			name: r.Name, technique: worker.Kept, via: rival, url: r.URL, mode: transactionMode,
		})
	}
	return chosen
}

// size is what a trial is about, apart from its strategy.
type size struct {
	clients, processes, pool int
}

// servers is how many connections to the database a trial takes at most.
func (s strategy) servers(z size, idle int) int {
	perProcess := (z.clients + z.processes - 1) / z.processes
	switch {
	case s.via == rival:
		return 0 // they are the rival's
	case s.via != straight && s.mode == sessionMode:
		return z.clients + idle
	case s.via != straight:
		return z.pool
	case s.technique == worker.Global || s.technique == worker.GlobalUnsafe:
		return z.processes
	case s.technique == worker.DriverPool || s.python && s.technique != worker.Connect:
		return z.processes * min(z.pool, perProcess)
	case s.technique == worker.Kept:
		return z.clients + idle
	}
	return z.clients
}
