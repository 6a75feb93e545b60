package lecture

import (
	"fmt"
	"regexp"
	"slices"

	"carpool/bench/worker"
)

// SQLAlchemyPool is a technique of this program only: SQLAlchemy's QueuePool. It needs Python.SQLAlchemy.
const SQLAlchemyPool worker.Technique = "sqlalchemy-pool"

// Row is a row of the lecture's table, or one that it lacked.
type Row struct {
	Name      string
	Title     string // a few words
	Technique worker.Technique
	Carpool   bool // the program's server is carpool, not Postgres
	// LectureSeconds is what 10,000 calls took in the lecture; 0: it has no such row.
	LectureSeconds float64
}

// Rows are all rows, in the order of the lecture's table. The lecture's global connection had no lock, and a single thread to
// use it: its figure stands beside both.
func Rows() []Row {
	return []Row{
		{Name: "python-psycopg2-none", Title: "psycopg2: connect for every call", Technique: worker.Connect, LectureSeconds: 236.9},
		{Name: "python-psycopg2-global", Title: "psycopg2: one connection, behind a lock", Technique: worker.Global, LectureSeconds: 3.2},
		{Name: "python-psycopg2-global-unsafe", Title: "psycopg2: one connection, unguarded", Technique: worker.GlobalUnsafe, LectureSeconds: 3.2},
		{Name: "python-psycopg2-pool", Title: "psycopg2: its own pool", Technique: worker.DriverPool, LectureSeconds: 6.7},
		{Name: "python-sqlalchemy-pool", Title: "SQLAlchemy: its own pool", Technique: SQLAlchemyPool, LectureSeconds: 12.2},
		{Name: "python-carpool-connect", Title: "psycopg2: connect for every call, to carpool", Technique: worker.Connect, Carpool: true},
	}
}

// Check says in a sentence what of a job this program can't do, nil if it can do all. The program itself says the same.
func Check(job worker.Job) error {
	techniques := []worker.Technique{worker.Connect, worker.Global, worker.GlobalUnsafe, worker.DriverPool, SQLAlchemyPool}
	switch {
	case !slices.Contains(techniques, job.Technique):
		return fmt.Errorf("the Python program doesn't know the technique %s", job.Technique)
	case job.Script != "":
		return fmt.Errorf("the Python program can't run scripts")
	case job.Workload != "books" && job.Workload != "select1":
		return fmt.Errorf("the Python program knows the workloads books and select1, not %s", job.Workload)
	case job.Workload == "books" && !plainName.MatchString(job.Place.Schema):
		return fmt.Errorf("the Python program takes no schema with a name that needs quotes")
	case job.Protocol != "" && job.Protocol != worker.Simple:
		return fmt.Errorf("psycopg2 speaks the simple protocol only, not the %s one", job.Protocol)
	case job.Rate > 0:
		return fmt.Errorf("the Python program can't call at a given rate")
	case job.IdleClients > 0:
		return fmt.Errorf("the Python program keeps no idle connections")
	case job.Clients < 1:
		return fmt.Errorf("the Python program needs at least one client")
	case job.Duration <= 0 && job.Calls <= 0:
		return fmt.Errorf("the Python program needs a duration or a number of calls")
	}
	return nil
}

var plainName = regexp.MustCompile(`^[a-z_][a-z0-9_]*$`)
