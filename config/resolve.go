package config

import (
	"cmp"
	"time"
)

// Resolved is what applies to one database and one user after the narrower
// scopes have had their say. Limits and times of 0 mean what they mean in
// [Config].
type Resolved struct {
	PoolMode                 PoolMode      // user, database, pool_mode
	PoolSize                 int           // user, database, default_pool_size
	MinPoolSize              int           // database, min_pool_size
	ReservePoolSize          int           // user, database, reserve_pool_size
	MaxDBConnections         int           // database, max_db_connections
	MaxDBClientConnections   int           // database, max_db_client_connections
	MaxUserConnections       int           // user, max_user_connections
	MaxUserClientConnections int           // user, max_user_client_connections
	ServerLifetime           time.Duration // database, server_lifetime
	ServerConnectTimeout     time.Duration // database, server_connect_timeout
	QueryTimeout             time.Duration // user, query_timeout
	QueryWaitTimeout         time.Duration // user, database, query_wait_timeout
	IdleTransactionTimeout   time.Duration // user, idle_transaction_timeout
	TransactionTimeout       time.Duration // user, transaction_timeout
	ClientIdleTimeout        time.Duration // user, client_idle_timeout
	State                    StatePolicies // user, database, state_*, session_state; see [Config.Resolve]
	StateGeneral             StateKindSet  // the kinds whose policy was given by a session_state
	SessionAudit             Audit         // user, database, session_audit
	DeferredBegin            bool          // user, database, deferred_begin
	PinLogAfter              time.Duration // user, database, pin_log_after; 0 is never
	ListenQueueSize          int           // user, database, listen_queue_size
	ServerTLS                TLS           // database, server_tls_*
}

// Resolve returns what applies to clients of database d that logged in as
// user. The user need not have an entry of its own.
//
// The policy for a kind of session state is the first that is given of: the
// user's for the kind, the user's session_state, the database's for the kind,
// the database's session_state, the global one for the kind, session_state.
func (c *Config) Resolve(d *Database, user string) Resolved {
	u := c.Users[user]
	if u == nil {
		u = &User{}
	}
	return Resolved{
		PoolMode:                 u.PoolMode.Or(d.PoolMode.Or(c.PoolMode)),
		PoolSize:                 u.PoolSize.Or(d.PoolSize.Or(c.DefaultPoolSize)),
		MinPoolSize:              d.MinPoolSize.Or(c.MinPoolSize),
		ReservePoolSize:          u.ReservePoolSize.Or(d.ReservePoolSize.Or(c.ReservePoolSize)),
		MaxDBConnections:         d.MaxDBConnections.Or(c.MaxDBConnections),
		MaxDBClientConnections:   d.MaxDBClientConnections.Or(c.MaxDBClientConnections),
		MaxUserConnections:       u.MaxUserConnections.Or(c.MaxUserConnections),
		MaxUserClientConnections: u.MaxUserClientConnections.Or(c.MaxUserClientConnections),
		ServerLifetime:           d.ServerLifetime.Or(c.ServerLifetime),
		ServerConnectTimeout:     d.ConnectTimeout.Or(c.ServerConnectTimeout),
		QueryTimeout:             u.QueryTimeout.Or(c.QueryTimeout),
		QueryWaitTimeout:         u.QueryWaitTimeout.Or(d.QueryWaitTimeout.Or(c.QueryWaitTimeout)),
		IdleTransactionTimeout:   u.IdleTransactionTimeout.Or(c.IdleTransactionTimeout),
		TransactionTimeout:       u.TransactionTimeout.Or(c.TransactionTimeout),
		ClientIdleTimeout:        u.ClientIdleTimeout.Or(c.ClientIdleTimeout),
		State:                    u.State.over(d.State.over(c.State.over(StatePolicies{}))),
		StateGeneral:             generalKinds(&u.State, &d.State, &c.State),
		SessionAudit:             u.SessionAudit.Or(d.SessionAudit.Or(c.SessionAudit)),
		DeferredBegin:            u.DeferredBegin.Or(d.DeferredBegin.Or(c.DeferredBegin)),
		PinLogAfter:              u.PinLogAfter.Or(d.PinLogAfter.Or(c.PinLogAfter)),
		ListenQueueSize:          u.ListenQueueSize.Or(d.ListenQueueSize.Or(c.ListenQueueSize)),
		ServerTLS:                c.serverTLS(d),
	}
}

func (c *Config) serverTLS(d *Database) TLS {
	t := c.ServerTLS
	t.Mode = d.SSLMode.Or(t.Mode)
	t.CAFile = cmp.Or(d.SSLRootCert, t.CAFile)
	t.ChannelBinding = d.ChannelBinding.Or(BindingPrefer)
	// Certificate and key belong together: one from the database and the
	// other from the global settings would never match.
	if d.SSLCert != "" || d.SSLKey != "" {
		t.CertFile, t.KeyFile = d.SSLCert, d.SSLKey
	}
	return t
}
