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
	Technique worker.Technique
	Carpool   bool // the program's server is carpool, not Postgres
}

// Rows are all rows, in the order of the lecture's table. Its global connection had no lock, and a single thread to use it.
func Rows() []Row {
	return []Row{
		{Name: "python-psycopg2-none", Technique: worker.Connect},
		{Name: "python-psycopg2-global", Technique: worker.Global},
		{Name: "python-psycopg2-global-unsafe", Technique: worker.GlobalUnsafe},
		{Name: "python-psycopg2-pool", Technique: worker.DriverPool},
		{Name: "python-sqlalchemy-pool", Technique: SQLAlchemyPool},
		{Name: "python-carpool-connect", Technique: worker.Connect, Carpool: true},
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
