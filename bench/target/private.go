package target

import (
	"context"
	"crypto/rand"
	"errors"

	"carpool/bench/pgserver"
	"carpool/config"
)

const (
	privateName        = "bench" // of the role and of the database
	defaultConnections = 200
	// spare are connections of the private Postgres beyond those asked for: ours, reserved ones, and those of clients that
	// have left and whose processes are still about to end.
	spare = 40
)

// Private starts a Postgres for the benchmark, on TCP at 127.0.0.1 and on a Unix socket. It needs the server's programs on
// this machine and takes one or two seconds. When ctx ends the server stops; Close stops it and removes everything.
//
// Without TLS the role logs in without proving anything (trust). That makes connecting as cheap as it can be: what a benchmark
// then finds that connecting costs is a lower bound, and nobody can say that it was inflated. With TLS it logs in with
// SCRAM-SHA-256, as at a server in another place, and connecting costs several milliseconds on either side. The server has no
// fsync and no autovacuum, and its superuser can be reached through its directory only.
func Private(ctx context.Context, options Options) (*Target, error) {
	if options.Connections <= 0 {
		options.Connections = defaultConnections
	}
	hba := []string{"host all postgres all reject", "host replication all all reject"}
	if options.TLS {
		hba = append(hba, "host all all all scram-sha-256")
	}
	password := rand.Text()
	postgres, err := pgserver.Start(ctx, pgserver.Options{
		Binaries: options.Binaries, MaxConnections: options.Connections + spare, TLS: options.TLS, HBA: hba,
		Roles:     []pgserver.Role{{Name: privateName, Password: password}},
		Databases: []string{privateName},
		Settings:  map[string]string{"shared_buffers": "256MB", "max_wal_size": "2GB", "autovacuum": "off", "jit": "off"},
	})
	if err != nil {
		return nil, err
	}
	if err := postgres.Exec(ctx, privateName, "GRANT CREATE ON DATABASE "+privateName+" TO "+privateName); err != nil {
		return nil, errors.Join(err, postgres.Stop())
	}
	server := Server{
		Host: postgres.Host(), Port: postgres.Port(), User: privateName, Password: password, Database: privateName, SSLMode: config.SSLDisable,
	}
	if options.TLS {
		server.SSLMode, server.SSLRootCert = config.SSLVerifyFull, postgres.Authority().File
	}
	t, err := open(ctx, server, Options{Share: 1})
	if err != nil {
		return nil, errors.Join(err, postgres.Stop())
	}
	t.private = postgres
	return t, nil
}
