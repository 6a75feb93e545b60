package target

import (
	"context"
	"fmt"
	"strconv"
)

// Limits is how many connections a server has, and how many of them a benchmark may use.
type Limits struct {
	Max      int    // max_connections
	Reserved int    // of these for superusers and for roles that may use reserved ones; never used
	InUse    int    // client connections of everybody, one of ours among them
	Free     int    // that our role could open in our database besides ours for control
	Allowed  int    // of the free ones for the benchmark; at least 1
	Bound    string // which limit it is that binds, in words
}

// controls are the connections that a target opens for itself: the owner of the schema, and the one that watches.
const controls = 2

// capacity is one limit: so many connections, some of which are taken.
type capacity struct {
	limit, taken int // a negative limit is none
	words        string
}

// readLimits asks for everything that bounds the number of connections. Of other roles' connections we may not see the kind,
// but their role and database.
func (t *Target) readLimits(ctx context.Context, share float64) (Limits, error) {
	const sql = `
		WITH taken AS (
			SELECT usesysid, datid FROM pg_stat_get_activity(NULL)
			WHERE usesysid IS NOT NULL AND datid <> 0 AND coalesce(backend_type, 'client backend') = 'client backend'
		)
		SELECT current_setting('max_connections'), current_setting('superuser_reserved_connections'),
			coalesce(current_setting('reserved_connections', true), '0'), (SELECT count(*) FROM taken),
			CASE WHEN r.rolsuper THEN -1 ELSE r.rolconnlimit END, (SELECT count(*) FROM taken WHERE usesysid = r.oid),
			CASE WHEN r.rolsuper THEN -1 ELSE d.datconnlimit END, (SELECT count(*) FROM taken WHERE datid = d.oid)
		FROM pg_roles r, pg_database d WHERE r.rolname = session_user AND d.datname = current_database()`
	row, err := queryRow(ctx, t.owner, sql)
	if err != nil {
		return Limits{}, explain(ctx, t.server, "reading the limits of", err)
	}
	numbers := make([]int, len(row))
	for i, text := range row {
		if numbers[i], err = strconv.Atoi(text); err != nil {
			return Limits{}, fmt.Errorf("reading the limits of the server at %s: %w", t.server.place(), err)
		}
	}
	limits := Limits{Max: numbers[0], Reserved: numbers[1] + numbers[2], InUse: numbers[3]}
	limits.apply(share, []capacity{
		{limits.Max - limits.Reserved, limits.InUse, fmt.Sprintf(
			"max_connections is %d, %d of them are reserved and %d in use", limits.Max, limits.Reserved, limits.InUse)},
		{numbers[4], numbers[5], fmt.Sprintf("the role %s may have %d connections and has %d", t.server.User, numbers[4], numbers[5])},
		{numbers[6], numbers[7], fmt.Sprintf("the database %s may have %d connections and has %d", t.server.Database, numbers[6], numbers[7])},
	})
	if limits.Free < 1 {
		return Limits{}, fmt.Errorf("the server at %s has no connections to spare for a benchmark: %s", t.server.place(), limits.Bound)
	}
	return limits, nil
}

// apply finds the capacity that leaves the fewest connections. Ours that is open is among the taken ones.
func (l *Limits) apply(share float64, capacities []capacity) {
	for i, c := range capacities {
		if c.limit < 0 {
			continue
		}
		if free := c.limit - c.taken - (controls - 1); i == 0 || free < l.Free {
			l.Free, l.Bound = free, c.words
		}
	}
	l.Free = max(l.Free, 0)
	l.Allowed = min(max(int(share*float64(l.Free)), 1), l.Free)
}
