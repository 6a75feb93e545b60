package drivers

import (
	"context"
	"slices"
)

// driver is a column of the matrix.
type driver struct {
	name    string
	without []string // steps that it has no means for
	only    []string // the steps that it has means for; nil: all but those it is without, and the migrations
	run     runner
}

// runner goes through steps in their order, and reports each when it is done. It ends early when a step never does.
type runner func(ctx context.Context, url string, steps []string, report func(outcome)) error

var drivers = []driver{
	{name: "psycopg2", run: python("psycopg2")},
	{name: "psycopg 3", run: python("psycopg3", "default")},
	{name: "psycopg 3, prepare_threshold=0", run: python("psycopg3", "0")},
	{name: "SQLAlchemy, psycopg2", without: []string{"copy in", "copy out", "listen", "cancel"}, run: python("sqlalchemy", "psycopg2")},
	{name: "SQLAlchemy, asyncpg", without: []string{"copy in", "copy out", "listen", "cancel"}, run: python("sqlalchemy", "asyncpg")},
	{name: "Django", without: []string{"copy in", "copy out", "listen", "cancel"}, run: python("django")},
	{name: "Alembic", only: migration, run: python("alembic")},
	{name: "asyncpg", run: python("asyncpg")},
	{name: "node-postgres", without: []string{"copy in", "copy out", "cancel"}, run: node("pg")},
	{name: "postgres.js", run: node("postgres")},
	{name: "JDBC", run: java("default")},
	{name: "JDBC, prepareThreshold=1", run: java("1")},
	{name: "pgx", run: pgxRunner("")},
	{name: "pgx, cache_describe", run: pgxRunner("cache_describe")},
	{name: "pgx, describe_exec", run: pgxRunner("describe_exec")},
	{name: "pgx, exec", run: pgxRunner("exec")},
	{name: "pgx, simple_protocol", run: pgxRunner("simple_protocol")},
	{name: "lib/pq", without: []string{"batch", "copy out"}, run: libpqRunner(false)},
	{name: "lib/pq, Prepare", without: []string{"batch", "copy out"}, run: libpqRunner(true)},
}

// has tells whether the driver goes through a step.
func (d driver) has(name string) bool {
	if d.only != nil {
		return slices.Contains(d.only, name)
	}
	if slices.Contains(migration, name) && d.name != "Django" {
		return false
	}
	return !slices.Contains(d.without, name)
}

// steps are the names of the steps that the driver goes through.
func (d driver) steps() []string {
	var names []string
	for _, s := range steps {
		if d.has(s.name) {
			names = append(names, s.name)
		}
	}
	return names
}
