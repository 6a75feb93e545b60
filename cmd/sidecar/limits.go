package sidecar

import (
	"context"
	"fmt"
	"strconv"
	"strings"
	"time"

	"carpool/config"

	"github.com/jackc/pgx/v5/pgconn"
)

// limitsPatience bounds how long a server may take to say what it allows.
const limitsPatience = 5 * time.Second

// ReadLimits asks the server of the nth URL what it allows, over a connection of its own that it closes. It takes no longer than
// five seconds. The configuration is one that Config made. The error has no password in it.
func ReadLimits(ctx context.Context, c *config.Config, n int) (Limits, error) {
	ctx, cancel := context.WithTimeout(ctx, limitsPatience)
	defer cancel()
	d := c.Databases[n]
	settings, err := pgconn.ParseConfig(connectionString(c, d))
	if err != nil {
		return Limits{}, fmt.Errorf("reading the limits of the server: %w", redacted(err, d.Password))
	}
	// Whatever PG* variables and service files say is meant for the application's sessions.
	settings.RuntimeParams = map[string]string{"application_name": "carpool"}
	conn, err := pgconn.ConnectConfig(ctx, settings)
	if err != nil {
		return Limits{}, fmt.Errorf("connecting to the server to read its limits: %w", redacted(err, d.Password))
	}
	defer conn.Close(ctx) //nolint:errcheck // it has said what we wanted to know
	const sql = `SELECT current_setting('max_connections'),
		current_setting('superuser_reserved_connections')::int + coalesce(current_setting('reserved_connections', true), '0')::int,
		CASE WHEN r.rolsuper THEN -1 ELSE r.rolconnlimit END, CASE WHEN r.rolsuper THEN -1 ELSE d.datconnlimit END
		FROM pg_roles r, pg_database d WHERE r.rolname = session_user AND d.datname = current_database()`
	result := conn.ExecParams(ctx, sql, nil, nil, nil, nil).Read()
	if result.Err != nil {
		return Limits{}, fmt.Errorf("reading the limits of the server: %w", redacted(result.Err, d.Password))
	}
	var numbers [4]int
	if len(result.Rows) != 1 || len(result.Rows[0]) != len(numbers) {
		return Limits{}, fmt.Errorf("reading the limits of the server: not one row of %d numbers", len(numbers))
	}
	for i, text := range result.Rows[0] {
		if numbers[i], err = strconv.Atoi(string(text)); err != nil {
			return Limits{}, fmt.Errorf("reading the limits of the server: %w", err)
		}
	}
	return Limits{Max: numbers[0], Reserved: numbers[1], Role: numbers[2], Database: numbers[3]}, nil
}

// connectionString says in libpq's words how a server of d is reached.
func connectionString(c *config.Config, d *config.Database) string {
	tls := c.Resolve(d, d.User).ServerTLS
	var hosts, ports []string
	for _, address := range c.Addresses(d) {
		hosts = append(hosts, address.Host)
		ports = append(ports, strconv.Itoa(address.Port))
	}
	quote := strings.NewReplacer(`\`, `\\`, `'`, `\'`)
	var b strings.Builder
	for _, pair := range [][2]string{
		{"host", strings.Join(hosts, ",")},
		{"port", strings.Join(ports, ",")},
		{"user", d.User},
		{"password", d.Password},
		{"dbname", d.ServerDBName()},
		{"sslmode", tls.Mode.String()},
		{"sslrootcert", tls.CAFile},
		{"sslcert", tls.CertFile},
		{"sslkey", tls.KeyFile},
	} {
		if pair[1] != "" {
			fmt.Fprintf(&b, "%s='%s' ", pair[0], quote.Replace(pair[1]))
		}
	}
	return b.String()
}

// redacted is an error without a password; pgconn leaves it out of its own, so this is a last guard.
func redacted(err error, password string) error {
	if password == "" || !strings.Contains(err.Error(), password) {
		return err
	}
	return fmt.Errorf("%s", strings.ReplaceAll(err.Error(), password, "***"))
}
