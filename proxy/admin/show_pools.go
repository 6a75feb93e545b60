package admin

import (
	"cmp"
	"slices"
	"time"

	"carpool/config"
	"carpool/proxy"
)

// consoleName is the database and user that the console itself goes by.
const consoleName = "pgbouncer"

var poolColumns = slices.Concat(
	columns(typeText, "database user"),
	columns(typeInt4, "cl_active cl_waiting cl_active_cancel_req cl_waiting_cancel_req"),
	columns(typeInt4, "sv_active sv_active_cancel sv_being_canceled sv_idle sv_used sv_tested sv_login"),
	columns(typeInt4, "maxwait maxwait_us"),
	columns(typeText, "pool_mode load_balance_hosts"),
)

// poolRows has a row for each pool, and one for the console.
func (c *Console) poolRows() [][]cell {
	rows := [][]cell{poolRow(proxy.PoolView{
		Database: consoleName, User: consoleName,
		Mode: config.PoolStatement.String(), Clients: c.sessions.Load(),
	}, "")}
	for _, v := range c.pools() {
		rows = append(rows, poolRow(v, c.loadBalance(v.Database)))
	}
	return rows
}

// pools are all pools by name: the proxy has them in no order.
func (c *Console) pools() []proxy.PoolView {
	views := c.proxy.Pools()
	slices.SortFunc(views, func(a, b proxy.PoolView) int {
		return cmp.Or(cmp.Compare(a.Database, b.Database), cmp.Compare(a.User, b.User))
	})
	return views
}

// loadBalance is how a database spreads its servers, "" where it has but one
// host for them.
func (c *Console) loadBalance(database string) string {
	if d, ok := c.proxy.Config().Database(database); ok && len(d.Hosts) > 1 {
		return d.LoadBalanceHosts.String()
	}
	return ""
}

func poolRow(v proxy.PoolView, loadBalance string) []cell {
	wait := v.Pool.LongestWait
	// Counts that were read one after the other may contradict each other.
	active := max(v.Clients-int64(v.Pool.Waiting), 0)
	lent := max(v.Pool.Leased-v.Tested-v.BeingCanceled, 0)
	return []cell{
		text(v.Database),
		text(v.User),
		number(active),
		number(v.Pool.Waiting),
		number(max(v.Cancelers-v.CancelersWaiting, 0)),
		number(v.CancelersWaiting),
		number(lent),
		number(v.Cancels),
		number(v.BeingCanceled),
		number(v.Pool.Idle - v.Pool.Stale),
		number(v.Pool.Stale),
		number(v.Tested),
		number(v.Pool.Dialing),
		number(int64(wait / time.Second)),
		number(int64(wait % time.Second / time.Microsecond)),
		text(v.Mode),
		optional(loadBalance),
	}
}
