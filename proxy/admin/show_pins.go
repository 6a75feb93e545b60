package admin

import (
	"slices"
	"strings"
	"time"

	"carpool/proxy"
)

var pinColumns = slices.Concat(
	columns(typeText, "client database user application_name"),
	columns(typeInt4, "remote_pid seconds"),
	columns(typeText, "kinds statement"),
)

// pinRows has a row for each client that keeps its server because of what it
// has left in its session, the longest first.
func (c *Console) pinRows() [][]cell {
	var rows [][]cell
	for _, p := range c.proxy.Pins() {
		rows = append(rows, pinRow(&p))
	}
	return rows
}

func pinRow(p *proxy.Pin) []cell {
	return []cell{
		text(p.Client),
		text(p.Database),
		text(p.User),
		text(p.Application),
		number(int64(p.ServerPID)),
		number(int64(p.Since / time.Second)),
		text(strings.Join(p.Kinds, ",")),
		text(p.Cause),
	}
}
