package config

import (
	"slices"
	"strings"
	"time"
)

// query reads the query string of a database URL; of repeated keys the last
// counts.
func (u *urlReader) query(query string) {
	if query == "" {
		return
	}
	for item := range strings.SplitSeq(query, "&") {
		if item == "" {
			continue
		}
		key, value, ok := strings.Cut(item, "=")
		key = u.decode("query key", key)
		if !ok {
			u.problem("query: " + u.name(key) + " has no value")
			continue
		}
		// Only libpq's own passwords may hold anything.
		what := "query value"
		if key == "password" {
			what = key
		}
		// As for libpq, an empty value is as good as none.
		if value = u.decode(what, value); value != "" {
			u.parameter(key, value)
		}
	}
}

// name names a query key, unless it may be a part of the password.
func (u *urlReader) name(key string) string {
	if u.shy && !slices.Contains(urlKeys(), key) {
		return "a key (not shown, as it may be a part of the password)"
	}
	return quoteShort(key)
}

// urlKeys are the query keys that are understood.
func urlKeys() []string {
	return []string{
		"host", "port", "dbname", "user", "password", "sslmode", "ssl", "sslrootcert", "sslcert", "sslkey",
		"connect_timeout", "application_name", "client_encoding", "options", "target_session_attrs", "load_balance_hosts",
		"channel_binding",
	}
}

// refusedKeys are libpq's keys that would change where a connection goes or
// how safe it is, and that carpool can't honour: to ignore them would deceive.
func refusedKeys() []string {
	return []string{
		"hostaddr", "service", "servicefile", "passfile", "sslpassword", "sslcrl", "sslcrldir", "requiressl", "require_auth", "requirepeer",
		"ssl_min_protocol_version", "ssl_max_protocol_version", "sslcertmode", "replication",
		"oauth_issuer", "oauth_client_id", "oauth_client_secret", "oauth_scope", "scram_client_key", "scram_server_key", "require_ssl",
	}
}

// ignoredKeys tune libpq or a driver on the client's side and mean nothing to
// a pooler: they come along because applications share one URL.
func ignoredKeys() []string {
	return []string{
		"keepalives", "keepalives_idle", "keepalives_interval", "keepalives_count", "tcp_user_timeout", "fallback_application_name",
		"krbsrvname", "gsslib", "gssdelegation", "sslcompression", "sslsni", "min_protocol_version", "max_protocol_version",
		"pgbouncer", "connection_limit", "pool_timeout", "socket_timeout", "schema", "statement_cache_size", "sslaccept",
		"pool", "pool_size", "min_pool_size", "max_pool_size", "pool_max_conns", "pool_min_conns", "pool_max_conn_lifetime",
		"pool_max_conn_idle_time", "pool_health_check_period", "pool_max_conn_lifetime_jitter", "default_query_exec_mode",
		"statement_cache_capacity", "description_cache_capacity", "prepared_statements", "prepared_statement_cache_size",
		"reaping_frequency", "checkout_timeout", "encoding", "adapter", "uselibpqcompat", "binary_parameters", "command_timeout",
		"conn_max_age", "disable_prepared_binary_result", "prepareThreshold", "reWriteBatchedInserts", "currentSchema",
	}
}

func (u *urlReader) parameter(key, value string) {
	d := u.database
	var err error
	switch key {
	case "host":
		d.Hosts = strings.Split(value, ",")
	case "port":
		d.Ports, err = parsePorts(value)
	case "dbname":
		d.DBName = value
	case "user":
		d.User = value
	case "password":
		d.Password = value
	case "sslmode":
		var mode SSLMode
		// The word of Node's driver for libpq's require.
		if value == "no-verify" {
			value = SSLRequire.String()
		}
		mode, err = parseEnum[SSLMode](value)
		d.SSLMode = Some(mode)
	case "ssl":
		var on bool
		if on, err = parseBool(value); err == nil && !d.SSLMode.Set {
			d.SSLMode = Some(map[bool]SSLMode{true: SSLRequire, false: SSLDisable}[on])
		}
	case "sslrootcert":
		d.SSLRootCert = value
	case "sslcert":
		d.SSLCert = value
	case "sslkey":
		d.SSLKey = value
	case "connect_timeout":
		err = u.connectTimeout(value)
	case "client_encoding":
		// libpq's "auto" asks for the encoding of the client's environment.
		if value != "auto" {
			d.ClientEncoding = value
		}
	case "target_session_attrs":
		d.TargetAttrs, err = parseEnum[TargetSessionAttrs](value)
	case "channel_binding":
		var binding ChannelBinding
		binding, err = parseEnum[ChannelBinding](value)
		d.ChannelBinding = Some(binding)
	case "load_balance_hosts":
		if value == "random" {
			value = BalanceRoundRobin.String()
		}
		u.balanced = true
		d.LoadBalanceHosts, err = parseEnum[LoadBalanceHosts](value)
	default:
		u.other(key, value)
	}
	if err != nil {
		u.problem("query: " + u.name(key) + ": " + err.Error())
	}
}

// connectTimeout reads seconds; as for libpq 0 and less are no limit.
func (u *urlReader) connectTimeout(value string) error {
	if value[0] == '-' {
		value = "0"
	}
	d, err := parseTime(value, time.Second)
	u.database.ConnectTimeout = Some(d)
	return err
}

// other deals with keys that aren't carpool's: they may be libpq's, a
// driver's, or a parameter of the server's.
func (u *urlReader) other(key, value string) {
	demanding := value == "require" || value == "direct" // gssencmode, sslnegotiation
	negotiated := slices.Contains([]string{"gssencmode", "sslnegotiation"}, key)
	switch {
	case slices.Contains(refusedKeys(), key), negotiated && demanding:
		u.problem("query: " + quoteShort(key) + " is not supported with this value")
	case negotiated, slices.Contains(ignoredKeys(), key):
		u.database.noted = append(u.database.noted, u.database.at.problem("query: "+quoteShort(key)+" has no effect"))
	case u.shy, !isParameterName(key), isMisspelt(key):
		if u.shy {
			u.problem("query: " + u.name(key) + " isn't known" + u.hint())
			return
		}
		u.problem("query: " + unknownName("key", key, urlKeys()))
	default:
		u.database.setParameter(key, value)
	}
}

// isMisspelt tells a slip of the pen from a server's parameter. The server
// would refuse it too, but a reader of its message would look in the wrong
// place; and nothing that begins with ssl can be set by a start-up message.
func isMisspelt(key string) bool {
	if strings.HasPrefix(strings.ToLower(key), "ssl") {
		return true
	}
	return slices.ContainsFunc(urlKeys(), func(known string) bool {
		return len(known) > 4 && key != known && editDistance(key, known) <= 2
	})
}
