package config

import (
	"cmp"
	"fmt"
	"net"
	"slices"
	"strconv"
	"strings"
)

// Validate looks at the configuration as a whole and returns everything in it
// that can't work, nil if there is nothing. It takes for granted that each
// setting by itself is well-formed, as [LoadFile] and [Config.Set] see to. It
// doesn't touch files or the network.
func (c *Config) Validate() Problems {
	v := &validator{config: c}
	v.listening()
	v.log()
	v.metrics()
	v.authentication()
	v.tls()
	for _, d := range c.Databases {
		v.database(d)
	}
	return v.problems
}

type validator struct {
	config   *Config
	problems Problems
}

// setting notes a problem where the named setting was given.
func (v *validator) setting(name, message string) {
	v.problems = append(v.problems, v.config.places[name].problem(name+": "+message))
}

func (v *validator) entry(d *Database, message string) {
	v.problems = append(v.problems, d.at.problem("database "+quoteShort(d.Name)+": "+message))
}

// longestSocketPath is the space for a socket's path in Linux's sockaddr_un,
// less the closing zero.
const longestSocketPath = 107

func (v *validator) listening() {
	c := v.config
	if len(c.ListenAddr) == 0 && c.UnixSocketDir == "" {
		v.setting("listen_addr", "nothing to listen on: neither listen_addr nor unix_socket_dir is set")
	}
	for i, address := range c.ListenAddr {
		switch {
		case slices.Contains(c.ListenAddr[:i], address):
			v.setting("listen_addr", quoteShort(address)+" is listed twice")
		case address == "*" || net.ParseIP(address) != nil:
		case strings.ContainsAny(address, ":/[] \t"):
			v.setting("listen_addr", quoteShort(address)+" is neither an IP address nor a host name (the port belongs into listen_port)")
		}
	}
	if c.UnixSocketDir == "" {
		return
	}
	if !isSocket(c.UnixSocketDir) {
		v.setting("unix_socket_dir", "expected a path that begins with / or a name that begins with @")
	}
	if path := (Address{c.UnixSocketDir, c.ListenPort}).String(); len(path) > longestSocketPath {
		v.setting("unix_socket_dir", fmt.Sprintf("the path of a socket in it is longer than %d bytes", longestSocketPath))
	}
}

// syslogFacilities are the names that syslog_facility may have, with the numbers
// that the syslog protocol has for them (RFC 5424, section 6.2.1).
var syslogFacilities = map[string]int{
	"user": 1, "daemon": 3, "auth": 4, "authpriv": 10,
	"local0": 16, "local1": 17, "local2": 18, "local3": 19, "local4": 20, "local5": 21, "local6": 22, "local7": 23,
}

// SyslogFacilityCode returns the number of syslog_facility in the syslog
// protocol, that of daemon where the name isn't one that Validate lets pass.
func (c *Config) SyslogFacilityCode() int {
	return cmp.Or(syslogFacilities[c.SyslogFacility], syslogFacilities["daemon"])
}

func (v *validator) log() {
	c := v.config
	if syslogFacilities[c.SyslogFacility] == 0 {
		v.setting("syslog_facility", "expected auth, authpriv, daemon, user or local0 to local7, not "+quoteShort(c.SyslogFacility))
	}
}

func (v *validator) metrics() {
	c := v.config
	if c.MetricsListen == "" {
		return
	}
	host, text, err := net.SplitHostPort(c.MetricsListen)
	port, portErr := strconv.ParseUint(text, 10, 16)
	if err != nil || portErr != nil {
		v.setting("metrics_listen", "expected an address and a port, such as 127.0.0.1:9187")
		return
	}
	if int(port) != c.ListenPort || port == 0 {
		return
	}
	everywhere := host == "" || host == "*" || host == "0.0.0.0" || host == "::"
	clash := slices.ContainsFunc(c.ListenAddr, func(address string) bool {
		return everywhere || address == host || isWildcard(address)
	})
	if clash {
		v.setting("metrics_listen", "the same address and port as listen_addr and listen_port")
	}
}

func isWildcard(address string) bool {
	return address == "*" || address == "0.0.0.0" || address == "::"
}

func isLoopback(address string) bool {
	ip := net.ParseIP(address)
	return address == "localhost" || ip != nil && ip.IsLoopback()
}

func (v *validator) authentication() {
	c := v.config
	switch c.AuthType {
	case AuthCert:
		if c.ClientTLS.Mode == SSLDisable || c.ClientTLS.CAFile == "" {
			v.setting("auth_type", "cert needs client_tls_sslmode and client_tls_ca_file: without them no client can show a certificate")
		}
	case AuthHBA:
		if c.AuthHBAFile == "" {
			v.setting("auth_type", "hba needs auth_hba_file")
		}
	case AuthLDAP, AuthPAM:
		v.setting("auth_type", c.AuthType.String()+" is not built yet, and another method would let in other clients")
	case AuthTrust, AuthAny:
		for _, address := range c.ListenAddr {
			if c.open && !isLoopback(address) {
				v.setting("listen_addr", "the database URL has no password, so clients need none either: listen on loopback addresses only, not on "+quoteShort(address))
			}
		}
	}
	if c.AuthType == AuthAny {
		for _, d := range c.Databases {
			if d.User == "" {
				v.entry(d, "needs a user, since auth_type = any takes no notice of the client's")
			}
		}
	}
	v.inquiries()
}

// inquiries looks at how users are looked up in databases.
func (v *validator) inquiries() {
	c := v.config
	check := func(query, database string, report func(setting, message string)) {
		if !strings.Contains(query, "$1") {
			report("auth_query", "needs $1, which stands for the user's name")
		}
		if _, ok := c.Database(database); database != "" && !ok {
			report("auth_dbname", "there is no database "+quoteShort(database))
		}
	}
	if c.AuthUser != "" {
		check(c.AuthQuery, c.AuthDBName, v.setting)
	}
	for _, d := range c.Databases {
		if d.AuthUser+d.AuthQuery+d.AuthDBName == "" {
			continue
		}
		report := func(setting, message string) { v.entry(d, setting+": "+message) }
		if i := c.Inquiry(d); i.User == "" {
			report("auth_query", "needs auth_user, who runs it")
		} else {
			check(i.Query, cmp.Or(d.AuthDBName, c.AuthDBName), report)
		}
	}
}

func (v *validator) tls() {
	t := v.config.ClientTLS
	if t.Mode != SSLDisable && (t.KeyFile == "" || t.CertFile == "") {
		v.setting("client_tls_sslmode", t.Mode.String()+" needs client_tls_key_file and client_tls_cert_file")
	}
	if t.Mode >= SSLVerifyCA && t.CAFile == "" {
		v.setting("client_tls_sslmode", t.Mode.String()+" needs client_tls_ca_file")
	}
	v.serverTLS(v.config.ServerTLS, func(message string) { v.setting("server_tls_sslmode", message) })
}

func (v *validator) serverTLS(t TLS, report func(message string)) {
	if (t.KeyFile == "") != (t.CertFile == "") {
		report("a certificate file needs a key file and the other way round")
	}
	// Anybody can have a certificate signed by one of the system's authorities.
	if t.Mode == SSLVerifyCA && (t.CAFile == "" || t.CAFile == systemRoots) {
		report("verify-ca needs a CA file of your own: with the system's trust store only verify-full proves anything")
	}
	if t.CAFile == systemRoots && t.Mode < SSLVerifyCA {
		report("the system's trust store is only used by verify-full")
	}
}

func (v *validator) database(d *Database) {
	c := v.config
	hosts := max(1, len(d.Hosts))
	if len(d.Ports) > 1 && len(d.Ports) != hosts {
		v.entry(d, fmt.Sprintf("%d ports for %d hosts", len(d.Ports), hosts))
	}
	if len(d.Hosts) == 0 && c.UnixSocketDir == "" {
		v.entry(d, "needs a host, since unix_socket_dir isn't set")
	}
	if d.SSLMode.Set || d.SSLRootCert != "" || d.SSLCert != "" || d.SSLKey != "" {
		v.serverTLS(c.serverTLS(d), func(message string) { v.entry(d, message) })
	}
	for _, address := range c.Addresses(d) {
		if c.listensOn(address) && !IsConsole(d.ServerDBName()) {
			v.entry(d, "its server at "+address.String()+" is carpool itself")
		}
	}
}

// listensOn reports whether connections to address would come back to this
// process, as far as names and numbers tell.
func (c *Config) listensOn(address Address) bool {
	if c.ListenPort == 0 || address.Port != c.ListenPort {
		return false
	}
	if isSocket(address.Host) {
		return c.UnixSocketDir != "" && strings.TrimRight(address.Host, "/") == strings.TrimRight(c.UnixSocketDir, "/")
	}
	return slices.ContainsFunc(c.ListenAddr, func(listen string) bool {
		return listen == address.Host || isLoopback(address.Host) && (isWildcard(listen) || listen == "localhost" || address.Host == "localhost" && isLoopback(listen))
	})
}
