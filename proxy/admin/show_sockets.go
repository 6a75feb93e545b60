package admin

import (
	"cmp"
	"net/netip"
	"slices"
	"strconv"
	"time"

	"carpool/config"
	"carpool/proxy"
)

var socketColumns = slices.Concat(
	columns(typeText, "type user database replication state addr"),
	columns(typeInt4, "port"),
	columns(typeText, "local_addr"),
	columns(typeInt4, "local_port"),
	columns(typeText, "connect_time request_time"),
	columns(typeInt4, "wait wait_us close_needed"),
	columns(typeText, "ptr link"),
	columns(typeInt4, "remote_pid"),
	columns(typeText, "tls application_name"),
	columns(typeInt4, "prepared_statements id"),
)

var debugColumns = slices.Concat(
	socketColumns,
	columns(typeInt4, "recv_pos pkt_pos pkt_remain send_pos send_remain pkt_avail send_avail"),
)

// clientRows has a row for each client that is logged in.
func (c *Console) clientRows() [][]cell {
	return c.sockets(func(v *proxy.Socket) bool { return !v.Server && v.State != proxy.ClientLogin })
}

// serverRows has a row for each server connection that is logged in.
func (c *Console) serverRows() [][]cell {
	return c.sockets(func(v *proxy.Socket) bool { return v.Server })
}

func (c *Console) sockets(wanted func(*proxy.Socket) bool) [][]cell {
	var rows [][]cell
	for _, v := range c.proxy.Sockets() {
		if wanted(&v) {
			rows = append(rows, socketRow(&v, ""))
		}
	}
	return rows
}

// socketRows has a row for each connection.
func (c *Console) socketRows() [][]cell {
	return c.debugRows(func(*proxy.Socket) bool { return true })
}

// activeSocketRows has a row for each connection that something is under way on.
func (c *Console) activeSocketRows() [][]cell {
	return c.debugRows(func(v *proxy.Socket) bool {
		return v.Unread > 0 || v.Unsent > 0 || v.Wait > 0 || v.State == proxy.ServerTested
	})
}

func (c *Console) debugRows(wanted func(*proxy.Socket) bool) [][]cell {
	var rows [][]cell
	for _, v := range c.proxy.Sockets() {
		if !wanted(&v) {
			continue
		}
		prefix := "cl_"
		if v.Server {
			prefix = "sv_"
		}
		row := socketRow(&v, prefix)
		// recv_pos pkt_pos pkt_remain send_pos send_remain are places in buffers
		// that carpool hasn't.
		row = append(row, number(0), number(0), number(0), number(0), number(0), small(v.Unread), small(v.Unsent))
		rows = append(rows, row)
	}
	return rows
}

// timeLayout is how PgBouncer writes a time.
const timeLayout = "2006-01-02 15:04:05 MST"

func socketRow(v *proxy.Socket, prefix string) []cell {
	kind, replication, link := "C", "none", ""
	if v.Server {
		kind = "S"
	}
	if v.Replication {
		replication = "physical"
	}
	if v.Logical {
		replication = "logical"
	}
	if v.Link != 0 {
		link = pointer(!v.Server, v.Link)
	}
	addr, port := address(v.Remote, v.UnixPort)
	localAddr, localPort := address(v.Local, v.UnixPort)
	return []cell{
		text(kind),
		text(cmp.Or(v.User, "(nouser)")),
		text(cmp.Or(v.Database, "(nodb)")),
		text(replication),
		text(prefix + v.State.String()),
		text(addr),
		number(port),
		text(localAddr),
		number(localPort),
		text(v.Connected.Format(timeLayout)),
		text(v.Requested.Format(timeLayout)),
		small(int64(v.Wait / time.Second)),
		number(int64(v.Wait % time.Second / time.Microsecond)),
		flag(v.CloseNeeded),
		text(pointer(v.Server, v.ID)),
		text(link),
		number(int64(v.RemotePID)),
		text(v.TLS),
		text(v.Application),
		small(v.Prepared),
		small(int64(v.ID)),
	}
}

// pointer is what joins a client's link with its server's ptr, and the other way
// around.
func pointer(server bool, id uint64) string {
	if server {
		return "S" + strconv.FormatUint(id, 10)
	}
	return "C" + strconv.FormatUint(id, 10)
}

// address is the two columns of an address. PgBouncer shows a Unix socket by
// the port that is part of its name.
func address(a netip.AddrPort, unixPort int) (host string, port int) {
	if !a.IsValid() {
		return "unix", unixPort
	}
	return a.Addr().Unmap().String(), int(a.Port())
}

var waitColumns = slices.Concat(
	columns(typeInt4, "id"),
	columns(typeText, "client database user application_name since"),
	columns(typeInt4, "wait wait_us"),
	columns(typeText, "waits_for"),
	columns(typeInt4, "limit"),
)

// waitRows has a row for each client that waits for a server, the longest first.
func (c *Console) waitRows() [][]cell {
	cfg := c.proxy.Config()
	var waiting []proxy.Socket
	for _, v := range c.proxy.Sockets() {
		if v.State == proxy.ClientWaiting {
			waiting = append(waiting, v)
		}
	}
	slices.SortStableFunc(waiting, func(a, b proxy.Socket) int { return cmp.Compare(b.Wait, a.Wait) })
	var rows [][]cell
	for _, v := range waiting {
		rows = append(rows, waitRow(&v, limitOf(cfg, &v)))
	}
	return rows
}

func waitRow(v *proxy.Socket, limit cell) []cell {
	client := "unix"
	if v.Remote.IsValid() {
		client = v.Remote.String()
	}
	return []cell{
		small(int64(v.ID)),
		text(client),
		text(v.Database),
		text(v.User),
		text(v.Application),
		text(v.Requested.Format(timeLayout)),
		small(int64(v.Wait / time.Second)),
		number(int64(v.Wait % time.Second / time.Microsecond)),
		text(v.Obstacle),
		limit,
	}
}

// limitOf is the value of the setting that a client waits for, NULL where it is
// none that is a number.
func limitOf(cfg *config.Config, v *proxy.Socket) cell {
	d, ok := cfg.Database(v.Database)
	if !ok {
		return cell{}
	}
	limits := cfg.Resolve(d, cmp.Or(d.User, v.User))
	switch v.Obstacle {
	case "pool_size":
		return number(limits.PoolSize)
	case "max_db_connections":
		return number(limits.MaxDBConnections)
	case "max_user_connections":
		return number(limits.MaxUserConnections)
	case "max_dials":
		return number(cfg.MaxDials)
	}
	return cell{}
}
