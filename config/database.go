package config

import (
	"cmp"
	"maps"
	"net"
	"slices"
	"strconv"
	"strings"
	"time"
)

// Database is one entry of [databases]: a name clients ask for, and where its
// server connections go. Only Name is needed; the zero value of every other
// field means that a wider scope's value applies.
type Database struct {
	Name string // as clients ask for it; "*" is the fallback
	// Auto is whether this is a copy of "*" made for the name asked for.
	Auto bool

	Hosts    []string // host: names, addresses, "/directory", "@abstract"; nil is Config.UnixSocketDir
	Ports    []int    // port: one for all hosts, or one for each; nil is 5432
	DBName   string   // dbname on the server; "" is Name
	User     string   // user: every server connection logs in as this user; "" is the client's
	Password string   // password for User; a secret

	AuthUser   string // auth_user; else the global setting
	AuthQuery  string // auth_query; else the global setting
	AuthDBName string // auth_dbname; else the global setting

	PoolMode               Optional[PoolMode]      // pool_mode
	PoolSize               Optional[int]           // pool_size
	MinPoolSize            Optional[int]           // min_pool_size
	ReservePoolSize        Optional[int]           // reserve_pool_size
	MaxDBConnections       Optional[int]           // max_db_connections
	MaxDBClientConnections Optional[int]           // max_db_client_connections
	ServerLifetime         Optional[time.Duration] // server_lifetime
	QueryWaitTimeout       Optional[time.Duration] // query_wait_timeout
	ConnectTimeout         Optional[time.Duration] // server_connect_timeout

	State           StateSettings           // session_state, state_*
	SessionAudit    Optional[Audit]         // session_audit
	DeferredBegin   Optional[bool]          // deferred_begin
	PinLogAfter     Optional[time.Duration] // pin_log_after
	ListenQueueSize Optional[int]           // listen_queue_size

	ConnectQuery     string             // connect_query: run once on each new server connection
	LoadBalanceHosts LoadBalanceHosts   // load_balance_hosts
	TargetAttrs      TargetSessionAttrs // target_session_attrs; not built yet

	SSLMode     Optional[SSLMode] // sslmode; else server_tls_sslmode
	SSLRootCert string            // sslrootcert; else server_tls_ca_file
	SSLCert     string            // sslcert; else server_tls_cert_file
	SSLKey      string            // sslkey; else server_tls_key_file

	ChannelBinding Optional[ChannelBinding] // channel_binding; else prefer

	ClientEncoding  string            // client_encoding
	DateStyle       string            // datestyle
	TimeZone        string            // timezone
	ApplicationName string            // application_name
	Parameters      map[string]string // parameter.NAME: further start-up parameters by lower-case name

	at    place
	noted Problems // warnings found while reading
}

// Parameter is one start-up parameter.
type Parameter struct {
	Name  string // in lower case
	Value string // as given
}

// StartupParameters returns what every server connection of the database asks
// for in its start-up message besides user and database, sorted by name.
func (d *Database) StartupParameters() []Parameter {
	all := map[string]string{
		"client_encoding":  d.ClientEncoding,
		"datestyle":        d.DateStyle,
		"timezone":         d.TimeZone,
		"application_name": d.ApplicationName,
	}
	maps.DeleteFunc(all, func(_, value string) bool { return value == "" })
	maps.Copy(all, d.Parameters)
	list := make([]Parameter, 0, len(all))
	for name, value := range all {
		list = append(list, Parameter{Name: name, Value: value})
	}
	slices.SortFunc(list, func(a, b Parameter) int { return cmp.Compare(a.Name, b.Name) })
	return list
}

// AddDatabase adds d, replacing a database of the same name. The Config owns d
// afterwards.
func (c *Config) AddDatabase(d *Database) {
	if len(c.index) != len(c.Databases) || c.index == nil {
		c.index = make(map[string]int, len(c.Databases)+1)
		for i, known := range c.Databases {
			c.index[known.Name] = i
		}
	}
	if i, ok := c.index[d.Name]; ok {
		c.Databases[i] = d
		return
	}
	c.index[d.Name] = len(c.Databases)
	c.Databases = append(c.Databases, d)
}

// Database returns the database that clients reach by name: the entry of that
// name, else a fresh copy of "*" with that name. The names of the console and
// "*" itself are never found. The result is shared, or for a copy belongs to
// the caller; either way it is to be read only, as it may share maps.
func (c *Config) Database(name string) (*Database, bool) {
	if name == "" || name == "*" || IsConsole(name) {
		return nil, false
	}
	if d, ok := c.find(name); ok {
		return d, true
	}
	fallback, ok := c.find("*")
	if !ok {
		return nil, false
	}
	d := *fallback
	d.Name = name
	d.Auto = true
	d.DBName = cmp.Or(d.DBName, name)
	return &d, true
}

// find looks in the index, and without one (a Config built by hand) in the list.
func (c *Config) find(name string) (*Database, bool) {
	if len(c.index) == len(c.Databases) {
		i, ok := c.index[name]
		if !ok {
			return nil, false
		}
		return c.Databases[i], true
	}
	for _, d := range slices.Backward(c.Databases) {
		if d.Name == name {
			return d, true
		}
	}
	return nil, false
}

// ServerDBName returns the name of the database on the server.
func (d *Database) ServerDBName() string { return cmp.Or(d.DBName, d.Name) }

// Address is where a server listens.
type Address struct {
	Host string // name, IP address, or for a Unix socket the directory or "@name"
	Port int    // also part of a Unix socket's name
}

// defaultServerPort and defaultSocketDir are Postgres's own.
const (
	defaultServerPort = 5432
	defaultSocketDir  = "/tmp"
)

// Addresses returns where the servers of d listen, in the order given, at
// least one. An entry without a host means the Unix socket in
// Config.UnixSocketDir, or /tmp if that is empty.
func (c *Config) Addresses(d *Database) []Address {
	hosts := d.Hosts
	if len(hosts) == 0 {
		hosts = []string{cmp.Or(c.UnixSocketDir, defaultSocketDir)}
	}
	list := make([]Address, len(hosts))
	for i, host := range hosts {
		list[i] = Address{Host: host, Port: defaultServerPort}
		switch {
		case len(d.Ports) == 1:
			list[i].Port = d.Ports[0]
		case i < len(d.Ports):
			list[i].Port = d.Ports[i]
		}
	}
	return list
}

// Network returns "unix" or "tcp", as package net wants it.
func (a Address) Network() string {
	if isSocket(a.Host) {
		return "unix"
	}
	return "tcp"
}

// String returns the address as package net wants it: the path of the socket,
// or host and port.
func (a Address) String() string {
	if isSocket(a.Host) {
		return strings.TrimRight(a.Host, "/") + "/.s.PGSQL." + strconv.Itoa(a.Port)
	}
	return net.JoinHostPort(a.Host, strconv.Itoa(a.Port))
}

func isSocket(host string) bool { return strings.HasPrefix(host, "/") || strings.HasPrefix(host, "@") }
