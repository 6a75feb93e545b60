package proxy

import (
	"context"
	"fmt"
	"strconv"
	"time"

	"carpool/config"
	"carpool/pool"
	"carpool/proxy/upstream"
	"carpool/proxy/wire"
)

const (
	// inquirerName is how a connection for auth_query is called on the server.
	inquirerName = "carpool auth_query"
	// inquirerPath lets names in auth_query mean what is in pg_catalog, or what
	// they are qualified with, whatever others have created.
	inquirerPath = "pg_catalog, pg_temp"

	inquirersEach  = 2  // connections to one database for auth_query
	inquirersAll   = 16 // and to all of them
	inquirerIdle   = time.Minute
	longestInquiry = time.Minute
)

// inquirySource is where is asked, under one configuration.
type inquirySource struct {
	settings *settings
	database string // the entry of [databases]
	user     string // who asks
}

// inquiryKey is what is asked.
type inquiryKey struct {
	inquirySource
	query, user string
}

// inquiryFor says what is to be asked for the sake of a user who wants to log in
// to a database and isn't in auth_file. False: nobody is asked.
func (n *settings) inquiryFor(database, user string) (inquiryKey, bool) {
	d, ok := n.Database(database)
	if !ok {
		d = nil
	}
	i := n.Inquiry(d)
	if i.User == "" || i.Database == "" {
		return inquiryKey{}, false
	}
	return inquiryKey{inquirySource{n, i.Database, i.User}, i.Query, user}, true
}

// sourceLocked returns the connections by which a source is asked.
func (q *inquiries) sourceLocked(key inquirySource) *pool.Pool[*upstream.Inquirer] {
	p, ok := q.sources[key]
	if ok {
		return p
	}
	const many = 100
	if len(q.sources) >= many {
		q.tidySourcesLocked() // fallback entries make as many as there are names
	}
	n := key.settings
	target := q.proxy.inquiryTarget(key)
	p = q.servers.Open(pool.Settings[*upstream.Inquirer]{
		Name: "auth_query/" + key.database, Size: inquirersEach, MaxDials: 1,
		Lifetime: max(n.ServerLifetime, time.Second), IdleTimeout: inquirerIdle, LoginRetry: n.ServerLoginRetry,
		Host: fmt.Sprint(target.Hosts),
		Dial: func(ctx context.Context, _ pool.Variant) (*upstream.Inquirer, error) {
			return upstream.DialInquirer(ctx, target)
		},
		Close: func(server *upstream.Inquirer, _ pool.Reason) {
			q.proxy.spawn(func(context.Context) { server.Close() })
		},
	})
	q.sources[key] = p
	return p
}

// inquiryTarget says where auth_query runs. Nothing of it comes from a client
// but, with a fallback entry, the name of the database.
func (p *Proxy) inquiryTarget(key inquirySource) *upstream.Target {
	n := key.settings
	d, ok := n.Database(key.database)
	if !ok {
		d = &config.Database{Name: key.database} // gone while this was on its way
	}
	own := *d
	if own.User != key.user {
		own.User, own.Password = key.user, ""
	}
	own.ConnectQuery, own.Parameters = "", nil
	t := n.targetFor(&own, key.user, n.Resolve(&own, key.user))
	p.passOn(t, &own)
	t.Params = []wire.Param{
		{Name: "application_name", Value: inquirerName},
		{Name: "search_path", Value: inquirerPath},
		{Name: "client_encoding", Value: "SQL_ASCII"}, // names and secrets are bytes
		{Name: "statement_timeout", Value: strconv.FormatInt(n.inquiryTimeout().Milliseconds(), 10)},
	}
	return t
}

// inquiryTimeout is how long an auth_query may take.
func (n *settings) inquiryTimeout() time.Duration {
	if n.ClientLoginTimeout <= 0 {
		return longestInquiry
	}
	return min(n.ClientLoginTimeout, longestInquiry)
}

// tidySourcesLocked closes the way to databases that nobody asks any more.
func (q *inquiries) tidySourcesLocked() {
	busy := make(map[inquirySource]bool)
	for key := range q.flights {
		busy[key.inquirySource] = true
	}
	current := q.proxy.current.Load()
	for key, p := range q.sources {
		if !busy[key] && (key.settings != current || p.Stats().Open == 0) {
			delete(q.sources, key)
			q.servers.Remove(p) // nobody waits in it, so nobody is called
		}
	}
}
