package config

import (
	"io/fs"
	"slices"
	"time"
)

// mostConnections bounds every count of connections.
const mostConnections = 1_000_000

// globalKeys are the settings of section [pgbouncer], grouped as they are
// documented.
var globalKeys = slices.Concat(
	group("Process", processKeys...),
	group("Listening", listenKeys...),
	group("Pools and limits", poolKeys...),
	group("Session state", stateKeys...),
	group("Authentication", authKeys...),
	group("Logging and metrics", logKeys...),
	group("Timeouts and health", timeoutKeys...),
	group("Loops, buffers and protocol limits", loopKeys...),
	group("TLS towards clients", clientTLSKeys...),
	group("TLS towards servers", serverTLSKeys...),
)

var processKeys = []key[Config]{
	row("pidfile", "", "", acts|restart, text(func(c *Config) *string { return &c.PIDFile }),
		"File that holds the process id while carpool runs; empty writes none."),
	row("user", "", "", restart, text(func(c *Config) *string { return &c.RunAsUser }),
		"User to become after start."),
	row("logfile", "", "", 0, text(func(c *Config) *string { return &c.LogFile }),
		"File that log lines are appended to."),
	row("syslog", "", "0", 0, yesNo(func(c *Config) *bool { return &c.Syslog }),
		"Whether to log to syslog."),
	row("syslog_ident", "", "pgbouncer", 0, text(func(c *Config) *string { return &c.SyslogIdent }),
		"Program name in syslog lines."),
	row("syslog_facility", "", "daemon", 0, text(func(c *Config) *string { return &c.SyslogFacility }),
		"Facility of syslog lines."),
	row("job_name", "", "pgbouncer", restart, text(func(c *Config) *string { return &c.ServiceName }),
		"Name of the Windows service.").alias("service_name"),
	row("conffile", "", "", 0, text(func(c *Config) *string { return &c.ConfFile }),
		"File to read at the next reload instead of the one given at start."),
	row("peer_id", "", "0", 0, number(func(c *Config) *int { return &c.PeerID }, 0, mostPeerID),
		"This pooler's number among its peers; 0 turns peering off."),
}

var listenKeys = []key[Config]{
	row("listen_addr", "", "", acts|restart, list(func(c *Config) *[]string { return &c.ListenAddr }),
		"Addresses to accept TCP clients on, separated by commas; `*` is every address, empty is none."),
	row("listen_port", "", "6432", acts|restart, number(func(c *Config) *int { return &c.ListenPort }, 0, 65535),
		"Port of every address, also part of the Unix socket's name; 0 lets the system choose."),
	row("listen_backlog", "", "128", acts|restart, number(func(c *Config) *int { return &c.ListenBacklog }, 1, mostConnections),
		"Connections the kernel holds for carpool before it has accepted them."),
	row("unix_socket_dir", "", "/tmp", acts|restart, text(func(c *Config) *string { return &c.UnixSocketDir }),
		"Directory of the Unix socket, or `@name` for an abstract one; empty is none."),
	row("unix_socket_mode", "", "0777", acts|restart, fileMode(func(c *Config) *fs.FileMode { return &c.UnixSocketMode }),
		"Permission bits of the Unix socket, in octal."),
	row("unix_socket_group", "", "", acts|restart, text(func(c *Config) *string { return &c.UnixSocketGroup }),
		"Group that owns the Unix socket; empty leaves the process's own."),
	row("so_reuseport", "", "0", acts|restart, yesNo(func(c *Config) *bool { return &c.SOReusePort }),
		"Whether several processes may listen on the same port."),
	row("tcp_defer_accept", "", "1", acts, yesNo(func(c *Config) *bool { return &c.TCPDeferAccept }),
		"Whether the kernel reports a connection only once it has sent something (Linux)."),
	row("tcp_keepalive", "", "1", acts, yesNo(func(c *Config) *bool { return &c.TCPKeepalive }),
		"Whether idle TCP connections are probed."),
	row("tcp_keepcnt", "", "0", acts, number(func(c *Config) *int { return &c.TCPKeepCount }, 0, 127),
		"Unanswered probes after which a connection is dead; 0 is the system's default."),
	row("tcp_keepidle", "s", "0", acts, seconds(func(c *Config) *time.Duration { return &c.TCPKeepIdle }),
		"Idle time before the first probe; 0 is the system's default."),
	row("tcp_keepintvl", "s", "0", acts, seconds(func(c *Config) *time.Duration { return &c.TCPKeepInterval }),
		"Time between probes; 0 is the system's default."),
	row("tcp_user_timeout", "ms", "0", acts, milliseconds(func(c *Config) *time.Duration { return &c.TCPUserTimeout }),
		"How long sent bytes may stay unacknowledged before the connection is dead; 0 is the system's default."),
	row("tcp_socket_buffer", "bytes", "0", acts|restart, size(func(c *Config) *int { return &c.TCPSocketBuffer }, 0, 1<<30),
		"Kernel buffer of each TCP connection, in each direction; 0 is the system's default."),
}

var poolKeys = []key[Config]{
	row("pool_mode", "", "session", acts|reconnect, choice(func(c *Config) *PoolMode { return &c.PoolMode }),
		"When a server connection is given back: `session`, `transaction` or `statement`."),
	row("max_client_conn", "", "100", acts, number(func(c *Config) *int { return &c.MaxClientConn }, 1, mostConnections),
		"Clients connected at once."),
	row("default_pool_size", "", "20", acts, number(func(c *Config) *int { return &c.DefaultPoolSize }, 0, mostConnections),
		"Server connections for each pair of database and user; 0 is no limit."),
	row("min_pool_size", "", "0", acts, number(func(c *Config) *int { return &c.MinPoolSize }, 0, mostConnections),
		"Server connections kept open in a pool that has a client or a forced user."),
	row("reserve_pool_size", "", "0", acts, number(func(c *Config) *int { return &c.ReservePoolSize }, 0, mostConnections),
		"Further server connections a pool may open once a client has waited `reserve_pool_timeout`."),
	row("reserve_pool_timeout", "s", "5", acts, seconds(func(c *Config) *time.Duration { return &c.ReservePoolTimeout }),
		"How long the oldest client waits before the reserve is used; 0 never uses it."),
	row("max_db_connections", "", "0", acts, number(func(c *Config) *int { return &c.MaxDBConnections }, 0, mostConnections),
		"Server connections for one database, over all its users; 0 is no limit."),
	row("max_db_client_connections", "", "0", acts, number(func(c *Config) *int { return &c.MaxDBClientConnections }, 0, mostConnections),
		"Clients of one database; 0 is no limit."),
	row("max_user_connections", "", "0", acts, number(func(c *Config) *int { return &c.MaxUserConnections }, 0, mostConnections),
		"Server connections of one user, over all databases; 0 is no limit."),
	row("max_user_client_connections", "", "0", acts, number(func(c *Config) *int { return &c.MaxUserClientConnections }, 0, mostConnections),
		"Clients that logged in as one user; 0 is no limit."),
	row("server_round_robin", "", "0", acts, yesNo(func(c *Config) *bool { return &c.ServerRoundRobin }),
		"Whether idle server connections are used in turn, rather than the most recently used first."),
	row("max_prepared_statements", "", "200", acts|reconnect, number(func(c *Config) *int { return &c.MaxPreparedStatements }, 0, mostConnections),
		"Named prepared statements kept on each server connection in transaction and statement mode; 0 turns their tracking off."),
	row("track_extra_parameters", "", "IntervalStyle", acts|restart, list(func(c *Config) *[]string { return &c.TrackExtraParameters }),
		"Parameters kept for each client besides those Postgres always reports."),
	row("ignore_startup_parameters", "", "", acts, list(func(c *Config) *[]string { return &c.IgnoreStartupParameters }),
		"Start-up parameters that are dropped instead of refused."),
	row("application_name_add_host", "", "0", acts, yesNo(func(c *Config) *bool { return &c.ApplicationNameAddHost }),
		"Whether the client's address is appended to its application_name."),
	row("disable_pqexec", "", "0", restart, yesNo(func(c *Config) *bool { return &c.DisablePQExec }),
		"Whether to refuse simple queries."),
	row("stats_period", "s", "60", acts|restart, seconds(func(c *Config) *time.Duration { return &c.StatsPeriod }),
		"Period over which averages are taken."),
	row("max_dials", "", "4", acts|own, number(func(c *Config) *int { return &c.MaxDials }, 1, mostConnections),
		"Server connections that one pool opens at the same time."),
	row("max_client_prepared_statements", "", "10000", acts|own,
		number(func(c *Config) *int { return &c.MaxClientPreparedStatements }, 1, mostConnections),
		"Named prepared statements one client may hold at once."),
}

var authKeys = []key[Config]{
	row("auth_type", "", "md5", acts, choice(func(c *Config) *AuthType { return &c.AuthType }),
		"How clients prove who they are: `scram-sha-256`, `md5` (SCRAM for SCRAM secrets), `plain`, `cert`, `trust`, `any`, or `hba` for rules in a file; `ldap` and `pam` are refused."),
	row("auth_file", "", "", acts, text(func(c *Config) *string { return &c.AuthFile }),
		"File of users and their secrets."),
	row("auth_hba_file", "", "", acts, text(func(c *Config) *string { return &c.AuthHBAFile }),
		"File of rules for `auth_type = hba`."),
	row("auth_ident_file", "", "", acts, text(func(c *Config) *string { return &c.AuthIdentFile }),
		"File of user name maps for `auth_type = hba`."),
	row("auth_user", "", "", acts, text(func(c *Config) *string { return &c.AuthUser }),
		"User that runs `auth_query` for users who aren't in `auth_file`; empty is no such query."),
	row("auth_dbname", "", "", acts, text(func(c *Config) *string { return &c.AuthDBName }),
		"Entry of `[databases]` in whose database `auth_query` runs; empty is the one the client asks for."),
	row("auth_query", "", defaultAuthQuery, acts, text(func(c *Config) *string { return &c.AuthQuery }),
		"Query with one parameter, a user's name, and one row of two columns as its answer: the name and the secret."),
	row("auth_query_max_age", "s", "10", acts|own, seconds(func(c *Config) *time.Duration { return &c.AuthQueryMaxAge }),
		"How long an answer of `auth_query` is good for more logins, unless one fails; 0 asks for every login."),
	row("auth_ldap_options", "", "", 0, text(func(c *Config) *string { return &c.AuthLDAPOptions }),
		"Options for `auth_type = ldap`."),
	row("scram_iterations", "", "4096", acts, number(func(c *Config) *int { return &c.SCRAMIterations }, 1, 1_000_000),
		"Iterations for SCRAM secrets made from plain passwords."),
	row("admin_users", "", "", acts, list(func(c *Config) *[]string { return &c.AdminUsers }),
		"Users who may do everything on the console, separated by commas."),
	row("stats_users", "", "", acts, list(func(c *Config) *[]string { return &c.StatsUsers }),
		"Users who may look at everything on the console, separated by commas."),
}

// defaultAuthQuery is the query PgBouncer documents; it heeds VALID UNTIL.
const defaultAuthQuery = "SELECT rolname, CASE WHEN rolvaliduntil < now() THEN NULL ELSE rolpassword END " +
	"FROM pg_authid WHERE rolname=$1 AND rolcanlogin"

var logKeys = []key[Config]{
	row("log_connections", "", "1", acts, yesNo(func(c *Config) *bool { return &c.LogConnections }),
		"Whether each login is logged."),
	row("log_disconnections", "", "1", acts, yesNo(func(c *Config) *bool { return &c.LogDisconnections }),
		"Whether each end of a connection is logged, with its reason."),
	row("log_pooler_errors", "", "1", acts, yesNo(func(c *Config) *bool { return &c.LogPoolerErrors }),
		"Whether errors that carpool itself sends to clients are logged."),
	row("log_stats", "", "1", 0, yesNo(func(c *Config) *bool { return &c.LogStats }),
		"Whether totals are logged each `stats_period`."),
	row("verbose", "", "0", acts, number(func(c *Config) *int { return &c.Verbose }, 0, 3),
		"How much more is logged than usual, up to 3."),
	row("log_format", "", "text", acts|restart|own, choice(func(c *Config) *LogFormat { return &c.LogFormat }),
		"Shape of log lines: `text` or `json`."),
	row("log_level", "", "info", acts|own, choice(func(c *Config) *LogLevel { return &c.LogLevel }),
		"Least severity that is logged: `debug`, `info`, `warn` or `error`."),
	row("log_to", "", "stderr", acts|restart|own, choice(func(c *Config) *LogTo { return &c.LogTo }),
		"Stream that log lines are written to: `stderr` or `stdout`."),
	row("login_notify_message", "", "", 0, text(func(c *Config) *string { return &c.LoginNotifyMessage }),
		"Notice sent to each client after its login."),
	row("metrics_listen", "", "", acts|restart|own, text(func(c *Config) *string { return &c.MetricsListen }),
		"Address and port of the HTTP server for /metrics, such as `127.0.0.1:9127`; empty is none."),
}
