package pooler

import (
	"errors"
	"fmt"
	"path/filepath"
	"strings"

	"carpool/bench/pgserver"
	"carpool/bench/target"
	"carpool/config"
)

// Mode says when a server is given back.
type Mode string

// The modes.
const (
	Transaction Mode = "transaction"
	Session     Mode = "session"
)

// Settings is how a pooler is launched: equal settings make equal terms, whatever the product. Start-up parameters of the
// server aren't passed on, since not every pooler can.
type Settings struct {
	Mode       Mode
	PoolSize   int           // server connections
	MaxClients int           // client connections
	Server     target.Server // where the pooler finds Postgres, with the user and password that it logs in with
	Dir        string        // where the pooler's own directory is made; empty: the system's for temporary files
	TLS        bool          // clients use TLS, and check a certificate that was made for this
	Unix       bool          // clients come by a Unix socket; not together with TLS
	Trust      bool          // clients aren't asked for a password; else MD5, which costs next to nothing
	Further    []string      // lines of the configuration file that not every product knows
}

func (s Settings) check() error {
	switch {
	case s.Mode != Transaction && s.Mode != Session:
		return fmt.Errorf("a pooler can't be launched in mode %q", s.Mode)
	case s.PoolSize < 1 || s.MaxClients < 1:
		return errors.New("a pooler needs at least one server and one client connection")
	case s.TLS && s.Unix:
		return errors.New("there is no TLS on a Unix socket")
	}
	for _, value := range []string{s.Server.Host, s.Server.User, s.Server.Password, s.Server.Database, s.Dir} {
		if strings.ContainsAny(value, "\r\n") {
			return errors.New("a configuration file can't hold a password or name with a line break in it")
		}
	}
	return nil
}

// place is where one running pooler keeps its files.
type place struct {
	dir           string
	owner         *pgserver.Owner
	configuration string // as the pooler opens it
}

func (p place) configurationFile() string { return filepath.Join(p.dir, "pooler.ini") }
func (p place) users() string             { return filepath.Join(p.dir, "users.txt") }
func (p place) log() string               { return filepath.Join(p.dir, "log") }
func (p place) authority() string         { return filepath.Join(p.dir, "ca.crt") }

// certificate is the name of the pooler's certificate, to which ".crt" and ".key" are added.
const certificate = "pooler"

// lines is the same configuration file for every product, as far as all know the settings.
func (s Settings) lines(p place, port int, keepsPrepared bool) []string {
	entry := fmt.Sprintf("%s = host=%s port=%d user=%s dbname=%s", entryName(s.Server.Database), quoteWord(s.Server.Host), s.Server.Port,
		quoteWord(s.Server.User), quoteWord(s.Server.Database))
	if s.Server.Password != "" {
		entry += " password=" + quoteWord(s.Server.Password)
	}
	authType := "md5"
	if s.Trust {
		authType = "trust"
	}
	lines := []string{
		"[databases]", entry,
		"[pgbouncer]",
		"listen_addr = 127.0.0.1",
		fmt.Sprintf("listen_port = %d", port),
		"unix_socket_dir =" + s.socketDir(p),
		"auth_type = " + authType,
		"auth_file = " + p.users(),
		"admin_users = " + s.Server.User,
		"pool_mode = " + string(s.Mode),
		fmt.Sprintf("default_pool_size = %d", s.PoolSize),
		fmt.Sprintf("max_client_conn = %d", s.MaxClients+consoleClients),
		"log_connections = 0",
		"log_disconnections = 0",
		"ignore_startup_parameters = extra_float_digits",
		"server_tls_sslmode = " + s.Server.SSLMode.String(),
	}
	for _, file := range []struct{ name, path string }{
		{"server_tls_ca_file", s.Server.SSLRootCert}, {"server_tls_cert_file", s.Server.SSLCert}, {"server_tls_key_file", s.Server.SSLKey},
	} {
		if file.path != "" && s.Server.SSLMode != config.SSLDisable {
			lines = append(lines, file.name+" = "+file.path)
		}
	}
	if s.TLS {
		lines = append(lines, "client_tls_sslmode = require",
			"client_tls_cert_file = "+filepath.Join(p.dir, certificate+".crt"), "client_tls_key_file = "+filepath.Join(p.dir, certificate+".key"))
	}
	if keepsPrepared {
		lines = append(lines, "max_prepared_statements = 200")
	}
	return append(lines, s.Further...)
}

// consoleClients are client connections beyond those asked for: the query that tries the pooler, and the console's.
const consoleClients = 10

func (s Settings) socketDir(p place) string {
	if !s.Unix {
		return ""
	}
	return " " + p.dir
}

// quoteWord is a value in an entry of [databases].
func quoteWord(value string) string {
	if value != "" && strings.Trim(value, plainLetters) == "" {
		return value
	}
	return "'" + strings.ReplaceAll(value, "'", "''") + "'"
}

// entryName is the name of the one entry of [databases]. The fallback serves names that PgBouncer's parser doesn't take.
func entryName(database string) string {
	if database != "" && strings.Trim(database, nameLetters) == "" {
		return database
	}
	return "*"
}

// quoteUser is a value in the file of users.
func quoteUser(value string) string { return `"` + strings.ReplaceAll(value, `"`, `""`) + `"` }

const (
	nameLetters  = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_"
	plainLetters = nameLetters + "./:-"
)
