package experiment

import (
	"fmt"
	"slices"

	"carpool/bench/worker"
	"carpool/bench/worker/lecture"
	"carpool/bench/workload"
)

// obstacle says in a sentence why a strategy can't run at a size, "" if nothing is in its way.
func (e *experiment) obstacle(s strategy, z size) string {
	f := e.field
	switch {
	case s.via == pgbouncer && f.noPgBouncer != nil:
		return f.noPgBouncer.Error()
	case s.via == pgbouncer && e.plan.protocol() == worker.Prepared && !f.pgbouncer.KeepsPrepared():
		return f.pgbouncer.Version + " keeps no prepared statements in transaction mode"
	case s.technique == worker.GlobalUnsafe && e.plan.Workload.Name == "copy":
		return "callers that share a connection unguarded can't even begin to copy"
	case e.plan.Workload.Shape == workload.Storm && s.shared():
		return "its callers share connections, so they can't all lose theirs at once"
	}
	if s.technique == pgbenchTechnique {
		if reason := e.pgbenchObstacle(); reason != "" {
			return reason
		}
	}
	if s.python {
		if reason := e.pythonObstacle(s, z); reason != "" {
			return reason
		}
	}
	if needed, allowed := s.servers(z, e.idle(s)), f.database.Limits().Allowed; needed > allowed {
		return fmt.Sprintf("it would take %d server connections, and at most %d may be used here (%s)", needed, allowed, f.database.Limits().Bound)
	}
	return ""
}

func (e *experiment) pythonObstacle(s strategy, z size) string {
	if e.field.noPython != nil {
		return e.field.noPython.Error()
	}
	if s.technique == lecture.SQLAlchemyPool && e.field.python.SQLAlchemy == "" {
		return "this machine's Python has no SQLAlchemy"
	}
	if e.plan.Workload.Shape != workload.Calls {
		return "the Python program only calls"
	}
	if err := lecture.Check(e.job(trialSpec{strategy: s, size: z}, "")); err != nil {
		return err.Error()
	}
	return ""
}

// shared tells whether the callers of a process share connections.
func (s strategy) shared() bool {
	return s.technique != worker.Connect && s.technique != worker.Kept && s.technique != pgbenchTechnique
}

// maxPrivate bounds the connections of a private Postgres: each is a process on this machine.
const maxPrivate = 1000

// connections is how many a private Postgres should allow.
func (p Plan) connections() int {
	needed := 1
	for _, z := range p.sizes() {
		for _, s := range p.strategies() {
			if n := s.servers(z, p.IdleClients); n <= maxPrivate {
				needed = max(needed, n)
			}
		}
	}
	return needed
}

// sizes are those of the main measurement and of all sweeps.
func (p Plan) sizes() []size {
	all := []size{p.size()}
	for _, value := range p.SweepPool {
		all = append(all, p.sizeAt(sweepPool, value))
	}
	for _, value := range p.SweepClients {
		all = append(all, p.sizeAt(sweepClients, value))
	}
	return all
}

// fit lowers the numbers of the plan to what a server allows, and says so.
func (p *Plan) fit(allowed int, note func(string)) {
	before := *p
	p.Clients = min(p.Clients, allowed)
	p.Processes = min(p.Processes, p.Clients)
	p.PoolSize = min(p.PoolSize, max(1, allowed/p.Processes))
	tooLarge := func(value int) bool { return value > allowed }
	p.SweepPool = slices.DeleteFunc(slices.Clone(p.SweepPool), tooLarge)
	p.SweepClients = slices.DeleteFunc(slices.Clone(p.SweepClients), tooLarge)
	if p.Clients != before.Clients || p.PoolSize != before.PoolSize {
		note(fmt.Sprintf("Take %d clients in %d processes and pools of %d instead of %d, %d and %d, as at most %d of the server's connections may be used.",
			p.Clients, p.Processes, p.PoolSize, before.Clients, before.Processes, before.PoolSize, allowed))
	}
}
