package experiment

import (
	"context"
	"runtime"

	"carpool/bench/procfs"
	"carpool/bench/report"
)

// environment is what the numbers are taken on. What can't be found out stays empty.
func (e *experiment) environment(ctx context.Context) report.Environment {
	machine := procfs.Describe()
	f := e.field
	told := report.Environment{
		CPU: machine.CPU, Cores: runtime.NumCPU(), MemoryBytes: machine.Memory, OS: machine.OS + " " + machine.Kernel, LoadAverage: e.loadBefore,
		Go: runtime.Version(), Carpool: e.tools.Version, Commit: e.tools.Commit,
		Postgres: f.database.Version(), Private: f.database.Private(), MaxConnections: f.database.Limits().Max,
		Poolers: map[string]string{"carpool": f.carpool.Version},
	}
	if f.noPgBouncer == nil {
		told.Poolers["pgbouncer"] = f.pgbouncer.Version
	}
	if settings, err := f.database.Settings(ctx); err == nil {
		told.ServerSettings = settings
	}
	return told
}

// settings is what was asked for, after it was fitted to the database.
func (e *experiment) settings() report.Settings {
	p := e.plan
	transport := "tcp"
	switch {
	case e.field.unix:
		transport = "unix"
	case e.field.tls:
		transport = "tls"
	}
	return report.Settings{
		Workload: p.Workload.Name, Protocol: string(p.protocol()), Clients: p.Clients, Processes: p.Processes, PoolSize: p.PoolSize,
		Rounds: p.Rounds, DurationSeconds: p.Duration.Seconds(), Calls: p.Calls, ThinkSeconds: p.ThinkTime.Seconds(), Rate: p.Rate,
		IdleClients: p.IdleClients, DelaySeconds: p.Delay.Seconds(), Transport: transport, Seed: p.Seed, CommandLine: p.CommandLine,
	}
}
