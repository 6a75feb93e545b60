package admin

import "slices"

var lookupColumns = slices.Concat(columns(typeText, "database auth_user"), columns(typeInt4, "waiting asking answers sv_open sv_idle"))

// lookupRows are the databases that are asked for users by auth_query.
func (c *Console) lookupRows() [][]cell {
	var rows [][]cell
	for _, l := range c.proxy.Lookups() {
		rows = append(rows, []cell{
			text(l.Database), text(l.User), number(l.Waiting), number(l.Asking), number(l.Answers), number(l.Open), number(l.Idle),
		})
	}
	return rows
}
