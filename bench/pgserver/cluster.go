package pgserver

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
)

// makeDir makes the server's directory where its owner can reach it.
func (s *Server) makeDir() error {
	scratch, err := MakeScratch("", "carpool-pg-", s.owner)
	if err != nil {
		return fmt.Errorf("making room for a private Postgres: %w", err)
	}
	s.scratch, s.dir, s.data = scratch, scratch.Path, filepath.Join(scratch.Path, "data")
	return nil
}

// initdb makes the cluster and writes its configuration. The port isn't part of it: the postmaster gets it as an argument.
func (s *Server) initdb(ctx context.Context, options Options) error {
	command := exec.CommandContext(ctx, s.binaries.Path("initdb"),
		"--pgdata", s.data, "--username", superuser, "--auth", "trust", "--encoding", "UTF8", "--locale", "C", "--no-sync")
	command.Dir = s.dir // the owner may not be allowed to see ours
	command.Env = Environment(s.dir)
	command.SysProcAttr = s.owner.ProcAttr(syscall.SIGTERM)
	// initdb's own children are in its process group, and must be gone before the directory is removed.
	command.Cancel = func() error { return syscall.Kill(-command.Process.Pid, syscall.SIGKILL) }
	if out, err := command.CombinedOutput(); err != nil {
		return fmt.Errorf("running initdb: %w: %s", err, strings.TrimSpace(string(out)))
	}
	if options.TLS {
		if err := s.certify(); err != nil {
			return err
		}
	}
	if err := s.appendFile(filepath.Join(s.data, "postgresql.conf"), s.settings(options)); err != nil {
		return err
	}
	hba := []string{"local all " + superuser + " trust"}
	hba = append(hba, options.HBA...)
	hba = append(hba, "local all all trust", "host all all all trust", "local replication all trust", "host replication all all trust")
	path := filepath.Join(s.data, "pg_hba.conf")
	if err := os.Truncate(path, 0); err != nil {
		return fmt.Errorf("emptying pg_hba.conf: %w", err)
	}
	return s.appendFile(path, hba)
}

func (s *Server) certify() error {
	authority, err := newAuthority(s.dir, s.owner)
	if err != nil {
		return err
	}
	if _, err := authority.Issue("server", "localhost", s.Host(), "::1"); err != nil {
		return err
	}
	s.authority = authority
	return nil
}

// settings are the lines of postgresql.conf: speed instead of safety, then the caller's, of which the last wins.
func (s *Server) settings(options Options) []string {
	lines := []string{
		"listen_addresses = " + quoteSetting(s.Host()),
		"unix_socket_directories = " + quoteSetting(s.dir),
		"fsync = off",
		"synchronous_commit = off",
		"full_page_writes = off",
		"shared_buffers = 64MB",
		"log_line_prefix = '%m [%p] %q%u@%d '",
	}
	if options.MaxConnections > 0 {
		lines = append(lines, "max_connections = "+strconv.Itoa(options.MaxConnections))
	}
	if options.TLS {
		lines = append(lines, "ssl = on",
			"ssl_ca_file = "+quoteSetting(s.authority.File),
			"ssl_cert_file = "+quoteSetting(filepath.Join(s.dir, "server.crt")),
			"ssl_key_file = "+quoteSetting(filepath.Join(s.dir, "server.key")))
	}
	for _, name := range slices.Sorted(maps.Keys(options.Settings)) {
		lines = append(lines, name+" = "+quoteSetting(options.Settings[name]))
	}
	return lines
}

// populate creates the roles and databases that were asked for.
func (s *Server) populate(ctx context.Context, options Options) error {
	for _, role := range options.Roles {
		sql := "SET password_encryption = '" + role.Encryption.String() + "'; CREATE ROLE " + quoteIdentifier(role.Name) + " LOGIN"
		if role.Superuser {
			sql += " SUPERUSER"
		}
		if role.Password != "" {
			sql += " PASSWORD " + quoteLiteral(role.Password)
		}
		if err := s.Exec(ctx, "", sql); err != nil {
			return fmt.Errorf("creating role %s: %w", role.Name, err)
		}
	}
	for _, database := range options.Databases {
		if err := s.Exec(ctx, "", "CREATE DATABASE "+quoteIdentifier(database)); err != nil {
			return fmt.Errorf("creating database %s: %w", database, err)
		}
	}
	return nil
}

func (s *Server) appendFile(path string, lines []string) error {
	file, err := os.OpenFile(path, os.O_WRONLY|os.O_APPEND, 0)
	if err != nil {
		return fmt.Errorf("opening a configuration file: %w", err)
	}
	_, err = file.WriteString(strings.Join(lines, "\n") + "\n")
	if err := errors.Join(err, file.Close()); err != nil {
		return fmt.Errorf("writing %s: %w", filepath.Base(path), err)
	}
	return nil
}

func quoteSetting(value string) string { return "'" + strings.ReplaceAll(value, "'", "''") + "'" }

func quoteIdentifier(name string) string { return `"` + strings.ReplaceAll(name, `"`, `""`) + `"` }

// quoteLiteral relies on standard_conforming_strings, which is on.
func quoteLiteral(value string) string { return "'" + strings.ReplaceAll(value, "'", "''") + "'" }
