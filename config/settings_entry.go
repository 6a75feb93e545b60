package config

import (
	"slices"
	"time"
)

// mostPeerID is the greatest id that fits into a cancel key.
const mostPeerID = 16383

// The prefix of keys for arbitrary start-up parameters of a database.
const parameterPrefix = "parameter."

// databaseKeys are the keys of an entry of [databases], but for those with
// parameterPrefix.
var databaseKeys = slices.Concat(databaseOwnKeys, databaseStateKeys)

var databaseOwnKeys = []key[Database]{
	row("host", "", "", acts|reconnect, hosts(func(d *Database) *[]string { return &d.Hosts }),
		"Host name, address, socket directory or `@name`, or several separated by commas; empty is the Unix socket in `unix_socket_dir`."),
	row("port", "", "5432", acts|reconnect, ports(func(d *Database) *[]int { return &d.Ports }),
		"Port, or one for each host separated by commas."),
	row("dbname", "", "", acts|reconnect, text(func(d *Database) *string { return &d.DBName }),
		"Name of the database on the server; empty is the name clients use."),
	row("user", "", "", acts|reconnect, text(func(d *Database) *string { return &d.User }),
		"User all server connections log in as; empty is each client's own."),
	row("password", "", "", acts|reconnect|secret, text(func(d *Database) *string { return &d.Password }),
		"Password for `user`."),
	row("auth_user", "", "", acts, text(func(d *Database) *string { return &d.AuthUser }),
		"Instead of the global setting."),
	row("auth_query", "", "", acts, text(func(d *Database) *string { return &d.AuthQuery }),
		"Instead of the global setting."),
	row("auth_dbname", "", "", acts, text(func(d *Database) *string { return &d.AuthDBName }),
		"Instead of the global setting."),
	row("pool_mode", "", "", acts|reconnect, maybeChoice(func(d *Database) *Optional[PoolMode] { return &d.PoolMode }),
		"Instead of the global setting."),
	row("pool_size", "", "", acts, maybeNumber(func(d *Database) *Optional[int] { return &d.PoolSize }, 0, mostConnections),
		"Instead of `default_pool_size`."),
	row("min_pool_size", "", "", acts, maybeNumber(func(d *Database) *Optional[int] { return &d.MinPoolSize }, 0, mostConnections),
		"Instead of the global setting."),
	row("reserve_pool_size", "", "", acts, maybeNumber(func(d *Database) *Optional[int] { return &d.ReservePoolSize }, 0, mostConnections),
		"Instead of the global setting.").alias("reserve_pool"),
	row("max_db_connections", "", "", acts, maybeNumber(func(d *Database) *Optional[int] { return &d.MaxDBConnections }, 0, mostConnections),
		"Instead of the global setting."),
	row("max_db_client_connections", "", "", acts,
		maybeNumber(func(d *Database) *Optional[int] { return &d.MaxDBClientConnections }, 0, mostConnections),
		"Instead of the global setting."),
	row("server_lifetime", "s", "", acts, maybeSeconds(func(d *Database) *Optional[time.Duration] { return &d.ServerLifetime }),
		"Instead of the global setting."),
	row("query_wait_timeout", "s", "", acts, maybeSeconds(func(d *Database) *Optional[time.Duration] { return &d.QueryWaitTimeout }),
		"Instead of the global setting."),
	row("server_connect_timeout", "s", "", acts|own, maybeSeconds(func(d *Database) *Optional[time.Duration] { return &d.ConnectTimeout }),
		"Instead of the global setting."),
	row("connect_query", "", "", acts|reconnect, text(func(d *Database) *string { return &d.ConnectQuery }),
		"Query run once on each new server connection. In transaction and statement mode each client has what it sets from the start (of custom parameters, those that its text names), and comes back to it by RESET (a RESET ROLE leads to the login's own role); in session mode the server's reset query undoes it, as with PgBouncer."),
	row("load_balance_hosts", "", "round-robin", acts, choice(func(d *Database) *LoadBalanceHosts { return &d.LoadBalanceHosts }),
		"With several hosts: `round-robin` spreads connections, `disable` uses the first host that works."),
	row("target_session_attrs", "", "any", reconnect|own, choice(func(d *Database) *TargetSessionAttrs { return &d.TargetAttrs }),
		"Kind of server wanted, in libpq's words."),
	row("sslmode", "", "", acts|reconnect|own, maybeChoice(func(d *Database) *Optional[SSLMode] { return &d.SSLMode }),
		"Instead of `server_tls_sslmode`."),
	row("sslrootcert", "", "", acts|reconnect|own, text(func(d *Database) *string { return &d.SSLRootCert }),
		"Instead of `server_tls_ca_file`."),
	row("sslcert", "", "", acts|reconnect|own, text(func(d *Database) *string { return &d.SSLCert }),
		"Instead of `server_tls_cert_file`."),
	row("sslkey", "", "", acts|reconnect|own, text(func(d *Database) *string { return &d.SSLKey }),
		"Instead of `server_tls_key_file`."),
	row("channel_binding", "", "", acts|reconnect|own, maybeChoice(func(d *Database) *Optional[ChannelBinding] { return &d.ChannelBinding }),
		"Whether SCRAM logins are tied to the TLS connection: `prefer` (if it isn't given), `require` or `disable`."),
	row("client_encoding", "", "", acts|reconnect, text(func(d *Database) *string { return &d.ClientEncoding }),
		"Start-up parameter of server connections."),
	row("datestyle", "", "", acts|reconnect, text(func(d *Database) *string { return &d.DateStyle }),
		"Start-up parameter of server connections."),
	row("timezone", "", "", acts|reconnect, text(func(d *Database) *string { return &d.TimeZone }),
		"Start-up parameter of server connections."),
	row("application_name", "", "", acts|reconnect|own, text(func(d *Database) *string { return &d.ApplicationName }),
		"Start-up parameter of server connections."),
}

// userKeys are the keys of an entry of [users].
var userKeys = slices.Concat(userOwnKeys, userStateKeys)

var userOwnKeys = []key[User]{
	row("pool_mode", "", "", acts|reconnect, maybeChoice(func(u *User) *Optional[PoolMode] { return &u.PoolMode }),
		"Instead of the database's or the global setting."),
	row("pool_size", "", "", acts, maybeNumber(func(u *User) *Optional[int] { return &u.PoolSize }, 0, mostConnections),
		"Instead of the database's `pool_size` or `default_pool_size`."),
	row("reserve_pool_size", "", "", acts, maybeNumber(func(u *User) *Optional[int] { return &u.ReservePoolSize }, 0, mostConnections),
		"Instead of the database's or the global setting.").alias("reserve_pool"),
	row("max_user_connections", "", "", acts, maybeNumber(func(u *User) *Optional[int] { return &u.MaxUserConnections }, 0, mostConnections),
		"Instead of the global setting."),
	row("max_user_client_connections", "", "", acts,
		maybeNumber(func(u *User) *Optional[int] { return &u.MaxUserClientConnections }, 0, mostConnections),
		"Instead of the global setting."),
	row("query_timeout", "s", "", acts, maybeSeconds(func(u *User) *Optional[time.Duration] { return &u.QueryTimeout }),
		"Instead of the global setting."),
	row("query_wait_timeout", "s", "", acts, maybeSeconds(func(u *User) *Optional[time.Duration] { return &u.QueryWaitTimeout }),
		"Instead of the database's or the global setting."),
	row("idle_transaction_timeout", "s", "", acts, maybeSeconds(func(u *User) *Optional[time.Duration] { return &u.IdleTransactionTimeout }),
		"Instead of the global setting."),
	row("transaction_timeout", "s", "", acts, maybeSeconds(func(u *User) *Optional[time.Duration] { return &u.TransactionTimeout }),
		"Instead of the global setting."),
	row("client_idle_timeout", "s", "", acts, maybeSeconds(func(u *User) *Optional[time.Duration] { return &u.ClientIdleTimeout }),
		"Instead of the global setting."),
}

var peerKeys = []key[Peer]{
	row("host", "", "", 0, text(func(p *Peer) *string { return &p.Host }),
		"Host name, address or socket directory of the peer; needed."),
	row("port", "", "6432", 0, number(func(p *Peer) *int { return &p.Port }, 1, 65535),
		"Port of the peer."),
	row("pool_size", "", "", 0, maybeNumber(func(p *Peer) *Optional[int] { return &p.PoolSize }, 0, mostConnections),
		"Connections to the peer for cancel requests; else `default_pool_size`."),
}
