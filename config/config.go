package config

import (
	"io/fs"
	"slices"
	"time"
)

// Config is the whole configuration. Build one with [Default], [DefaultForURL]
// or [LoadFile]: the zero value has every limit at 0 and no defaults. Each
// field is the setting whose name stands beside it; [Settings] has unit,
// default and meaning. Times of 0 mean "no limit" unless said otherwise.
type Config struct {
	// Process.
	LogFile        string // logfile
	Syslog         bool   // syslog
	SyslogIdent    string // syslog_ident
	SyslogFacility string // syslog_facility
	PIDFile        string // pidfile
	RunAsUser      string // user
	ServiceName    string // job_name, service_name
	ConfFile       string // conffile
	WatchFiles     bool   // watch_files
	PeerID         int    // peer_id; 0 is none

	// Listening.
	ListenAddr      []string      // listen_addr; nil is no TCP, "*" is every address
	ListenPort      int           // listen_port; 0 lets the kernel choose
	ListenBacklog   int           // listen_backlog
	UnixSocketDir   string        // unix_socket_dir; "" is no Unix socket, "@name" an abstract one
	UnixSocketMode  fs.FileMode   // unix_socket_mode
	UnixSocketGroup string        // unix_socket_group; "" leaves it alone
	SOReusePort     bool          // so_reuseport
	TCPDeferAccept  bool          // tcp_defer_accept
	TCPKeepalive    bool          // tcp_keepalive
	TCPKeepCount    int           // tcp_keepcnt; 0 is the system's default
	TCPKeepIdle     time.Duration // tcp_keepidle; 0 is the system's default
	TCPKeepInterval time.Duration // tcp_keepintvl; 0 is the system's default
	TCPUserTimeout  time.Duration // tcp_user_timeout; 0 is the system's default
	TCPSocketBuffer int           // tcp_socket_buffer, bytes; 0 is the system's default

	// Pools and limits. A limit of 0 is no limit.
	PoolMode                 PoolMode      // pool_mode
	MaxClientConn            int           // max_client_conn
	MaxClientLogins          int           // max_client_logins; 0 is by max_client_conn and the limit on descriptors
	DefaultPoolSize          int           // default_pool_size
	MinPoolSize              int           // min_pool_size
	ReservePoolSize          int           // reserve_pool_size; 0 is no reserve
	ReservePoolTimeout       time.Duration // reserve_pool_timeout; 0 is no reserve
	MaxDBConnections         int           // max_db_connections
	MaxDBClientConnections   int           // max_db_client_connections
	MaxUserConnections       int           // max_user_connections
	MaxUserClientConnections int           // max_user_client_connections
	ServerRoundRobin         bool          // server_round_robin
	MaxPreparedStatements    int           // max_prepared_statements; 0 is feature off
	TrackExtraParameters     []string      // track_extra_parameters
	IgnoreStartupParameters  []string      // ignore_startup_parameters
	ApplicationNameAddHost   bool          // application_name_add_host
	DisablePQExec            bool          // disable_pqexec
	StatsPeriod              time.Duration // stats_period

	// Session state in transaction mode.
	State           StateSettings // session_state, state_*
	SessionAudit    Audit         // session_audit
	DeferredBegin   bool          // deferred_begin
	PinLogAfter     time.Duration // pin_log_after; 0 is never
	ListenQueueSize int           // listen_queue_size

	// Authentication.
	AuthType        AuthType      // auth_type
	AuthFile        string        // auth_file
	AuthHBAFile     string        // auth_hba_file
	AuthIdentFile   string        // auth_ident_file
	AuthUser        string        // auth_user
	AuthDBName      string        // auth_dbname
	AuthQuery       string        // auth_query
	AuthQueryMaxAge time.Duration // auth_query_max_age; 0 is no memory
	AuthLDAPOptions string        // auth_ldap_options
	SCRAMIterations int           // scram_iterations
	AdminUsers      []string      // admin_users
	StatsUsers      []string      // stats_users

	// Logging.
	LogConnections     bool          // log_connections
	LogDisconnections  bool          // log_disconnections
	LogPoolerErrors    bool          // log_pooler_errors
	LogStats           bool          // log_stats
	Verbose            int           // verbose
	LoginNotifyMessage string        // login_notify_message
	LogFormat          LogFormat     // log_format
	LogLevel           LogLevel      // log_level
	LogTo              LogTo         // log_to
	MetricsListen      string        // metrics_listen; "" is no metrics
	MetricsPprof       bool          // metrics_pprof
	ConsoleOldColumns  bool          // console_old_columns
	LogSlow            time.Duration // log_slow; 0 is never

	// Timeouts and health.
	ServerResetQuery       string        // server_reset_query; "" is none
	ServerResetQueryAlways bool          // server_reset_query_always
	ServerCheckQuery       string        // server_check_query; "" is no check, see [EmptyQuery]
	ServerCheckDelay       time.Duration // server_check_delay
	ServerFastClose        bool          // server_fast_close
	ServerLifetime         time.Duration // server_lifetime; 0 closes after one use
	ServerIdleTimeout      time.Duration // server_idle_timeout
	ServerConnectTimeout   time.Duration // server_connect_timeout
	ServerLoginRetry       time.Duration // server_login_retry; 0 is no pause
	ClientLoginTimeout     time.Duration // client_login_timeout
	QueryTimeout           time.Duration // query_timeout
	QueryWaitTimeout       time.Duration // query_wait_timeout
	QueryWaitNotify        time.Duration // query_wait_notify; 0 is no notice
	CancelWaitTimeout      time.Duration // cancel_wait_timeout
	ClientIdleTimeout      time.Duration // client_idle_timeout
	IdleTransactionTimeout time.Duration // idle_transaction_timeout
	TransactionTimeout     time.Duration // transaction_timeout
	SuspendTimeout         time.Duration // suspend_timeout
	AutoDBIdleTimeout      time.Duration // autodb_idle_timeout
	PoolIdleTimeout        time.Duration // pool_idle_timeout
	DNSMaxTTL              time.Duration // dns_max_ttl
	DNSNXDomainTTL         time.Duration // dns_nxdomain_ttl
	DNSZoneCheckPeriod     time.Duration // dns_zone_check_period
	ResolvConf             string        // resolv_conf
	AbandonedQueryTimeout  time.Duration // abandoned_query_timeout; 0 discards the server at once
	ShutdownTimeout        time.Duration // shutdown_timeout

	// Loops, buffers, limits on one client.
	EventLoops                  int    // event_loops
	Poller                      Poller // poller
	MaxDials                    int    // max_dials
	MaxClientPreparedStatements int    // max_client_prepared_statements
	MaxStartupPacketSize        int    // max_startup_packet_size, bytes
	MaxParseSize                int    // max_parse_size, bytes
	MaxPacketSize               int    // max_packet_size, bytes
	PacketBuffer                int    // pkt_buf, bytes
	BufferLoopCount             int    // sbuf_loopcnt

	// TLS.
	ClientTLS TLS // client_tls_*
	ServerTLS TLS // server_tls_*; a database may differ, see [Config.Resolve]

	// Databases are those of the file, in its order; "*" is the fallback. Add
	// with [Config.AddDatabase], look up with [Config.Database].
	Databases []*Database
	// Users are the [users] entries by name: settings, not credentials.
	Users map[string]*User
	// Peers are the [peers] entries, in the order of the file.
	Peers []*Peer
	// StaticUsers are secrets by user name that came from somewhere else than
	// auth_file, such as a database URL. They rank above auth_file.
	StaticUsers map[string]string
	// Confined are the databases that a user reaches, by user name. Who isn't
	// in it reaches all.
	Confined map[string][]string

	index  map[string]int   // position in Databases by name
	places map[string]place // where each global setting was given
	noted  Problems         // warnings found while reading
	// open is whether clients get in without a proof only because the database
	// URL has no password; such a carpool must not be reachable from elsewhere.
	open bool
}

// Reaches reports whether a user who has logged in may use a database.
func (c *Config) Reaches(user, database string) bool {
	list, confined := c.Confined[user]
	return !confined || slices.Contains(list, database)
}

// EmptyQuery as server_check_query asks for an empty statement, the cheapest
// proof that a server still answers.
const EmptyQuery = "<empty>"

// TLS is how one side, clients or servers, uses TLS. Files are PEM files.
type TLS struct {
	Mode         SSLMode      // *_tls_sslmode
	KeyFile      string       // *_tls_key_file
	CertFile     string       // *_tls_cert_file
	CAFile       string       // *_tls_ca_file; "system" towards servers is the system's trust store
	Protocols    TLSProtocols // *_tls_protocols
	Ciphers      string       // *_tls_ciphers
	TLS13Ciphers string       // *_tls13_ciphers
	DHParams     string       // client_tls_dheparams
	ECDHCurve    string       // client_tls_ecdhcurve

	ChannelBinding ChannelBinding // a database's channel_binding; towards servers only
}

// Default returns a configuration without databases in which every setting
// has its default.
func Default() *Config {
	c := &Config{}
	for _, k := range globalKeys {
		if err := k.bind.set(c, k.Default); err != nil {
			panic("config: default of " + k.Name + ": " + err.Error())
		}
	}
	return c
}

// User is one entry of [users]: what applies to a user whatever the database.
type User struct {
	Name                     string                  // the user
	PoolMode                 Optional[PoolMode]      // pool_mode
	PoolSize                 Optional[int]           // pool_size
	ReservePoolSize          Optional[int]           // reserve_pool_size
	MaxUserConnections       Optional[int]           // max_user_connections
	MaxUserClientConnections Optional[int]           // max_user_client_connections
	QueryTimeout             Optional[time.Duration] // query_timeout
	QueryWaitTimeout         Optional[time.Duration] // query_wait_timeout
	IdleTransactionTimeout   Optional[time.Duration] // idle_transaction_timeout
	TransactionTimeout       Optional[time.Duration] // transaction_timeout
	ClientIdleTimeout        Optional[time.Duration] // client_idle_timeout
	State                    StateSettings           // session_state, state_*
	SessionAudit             Optional[Audit]         // session_audit
	DeferredBegin            Optional[bool]          // deferred_begin
	PinLogAfter              Optional[time.Duration] // pin_log_after
	ListenQueueSize          Optional[int]           // listen_queue_size

	at place
}

// Peer is one entry of [peers]: another pooler behind the same address, to
// which cancel requests are passed on.
type Peer struct {
	ID       int           // the peer's peer_id
	Host     string        // host name, address or socket directory
	Port     int           // port; 6432 unless given
	PoolSize Optional[int] // pool_size: connections for cancel requests

	at place
}

// reservedDatabases are the names under which the console is reached.
func reservedDatabases() []string { return []string{ConsoleDatabase, "carpool"} }

// ConsoleDatabase is the name that the console shows itself under.
const ConsoleDatabase = "pgbouncer"

// IsConsole reports whether a database name is one of those under which
// clients reach the console.
func IsConsole(database string) bool { return slices.Contains(reservedDatabases(), database) }
