package admin

import (
	"cmp"
	"fmt"
	"slices"

	"carpool/config"
	"carpool/proxy"
)

var userColumns = slices.Concat(
	columns(typeText, "name pool_size reserve_pool_size pool_mode"),
	columns(typeInt4, "max_user_connections current_connections max_user_client_connections current_client_connections"),
)

// userRows has a row for each user that is known or connected.
func (c *Console) userRows() [][]cell {
	cfg := c.proxy.Config()
	views := c.proxy.Users()
	slices.SortFunc(views, func(a, b proxy.UserView) int { return cmp.Compare(a.Name, b.Name) })
	var rows [][]cell
	for _, v := range views {
		rows = append(rows, userRow(cfg, &v))
	}
	return rows
}

func userRow(cfg *config.Config, v *proxy.UserView) []cell {
	limits := cfg.Resolve(&config.Database{}, v.Name)
	size, reserve, mode := "", "", ""
	if u := cfg.Users[v.Name]; u != nil {
		size, reserve = sized(u.PoolSize), sized(u.ReservePoolSize)
		if u.PoolMode.Set {
			mode = u.PoolMode.Value.String()
		}
	}
	return []cell{
		text(v.Name),
		text(size),
		text(reserve),
		optional(mode),
		number(limits.MaxUserConnections),
		number(v.Servers),
		number(limits.MaxUserClientConnections),
		number(v.Clients),
	}
}

// sized is a size as PgBouncer writes it in a column of text.
func sized(n config.Optional[int]) string {
	if !n.Set {
		return ""
	}
	return fmt.Sprintf("%9d", n.Value)
}
