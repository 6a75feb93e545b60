package admin

import "slices"

// oldColumn is a column that PgBouncer had in former versions, under which name
// it has what is in it today.
type oldColumn struct {
	show string
	name string
	now  string
}

// oldColumns are those that monitoring still asks for which was made for former
// versions, such as Debian 12's exporter for Prometheus.
var oldColumns = [...]oldColumn{
	{"stats", "total_requests", "total_query_count"},
	{"databases", "reserve_pool", "reserve_pool_size"},
}

// withOldColumns is sh with its old columns behind the others.
func withOldColumns(sh show) show {
	for _, old := range &oldColumns {
		if sh.name != old.show {
			continue
		}
		at := slices.IndexFunc(sh.columns, func(c column) bool { return c.name == old.now })
		rows := sh.rows
		sh.columns = append(slices.Clip(sh.columns), column{old.name, sh.columns[at].kind})
		sh.rows = func(c *Console) [][]cell {
			list := rows(c)
			for i, row := range list {
				list[i] = append(slices.Clip(row), row[at])
			}
			return list
		}
	}
	return sh
}
