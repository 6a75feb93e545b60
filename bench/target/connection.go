package target

import (
	"context"
	"errors"
	"fmt"
	"net"
	"strings"
	"time"

	"github.com/jackc/pgx/v5/pgconn"
)

const (
	// application begins the application_name of every connection of a benchmark.
	application = "carpool-bench"
	// controlLabel is that of connections that measure nothing.
	controlLabel = "control"

	connectPatience = 10 * time.Second
	// keepAlive is shorter than the patience of the firewalls that forget idle connections.
	keepAlive = 30 * time.Second
)

// ApplicationName is the application_name that clients with a label give, directly or through a pooler, so that their server
// connections can be told from others: usually the name of a strategy. Blanks in it would trouble some drivers.
func ApplicationName(label string) string { return application + "/" + label }

// connect opens a connection for control.
func connect(ctx context.Context, server Server) (*pgconn.PgConn, error) {
	config, err := pgconn.ParseConfig(server.URL(ApplicationName(controlLabel)))
	if err != nil {
		return nil, fmt.Errorf("the database URL can't be used: %s", withoutSecret(cause(err), server.Password))
	}
	if config.ConnectTimeout == 0 {
		config.ConnectTimeout = connectPatience
	}
	dialer := &net.Dialer{KeepAlive: keepAlive}
	config.DialFunc = dialer.DialContext
	conn, err := pgconn.ConnectConfig(ctx, config)
	if err != nil {
		return nil, explain(ctx, server, "connecting to", err)
	}
	return conn, nil
}

// query runs one statement; NULL is "".
func query(ctx context.Context, conn *pgconn.PgConn, sql string, arguments ...string) ([][]string, error) {
	parameters := make([][]byte, len(arguments))
	for i, argument := range arguments {
		parameters[i] = []byte(argument)
	}
	result := conn.ExecParams(ctx, sql, parameters, nil, nil, nil).Read()
	if result.Err != nil {
		return nil, result.Err
	}
	rows := make([][]string, len(result.Rows))
	for i, values := range result.Rows {
		for _, value := range values {
			rows[i] = append(rows[i], string(value))
		}
	}
	return rows, nil
}

// queryRow is query for a statement that always has one row.
func queryRow(ctx context.Context, conn *pgconn.PgConn, sql string, arguments ...string) ([]string, error) {
	rows, err := query(ctx, conn, sql, arguments...)
	if err != nil {
		return nil, err
	}
	if len(rows) != 1 {
		return nil, fmt.Errorf("%d rows instead of one", len(rows))
	}
	return rows[0], nil
}

// refusal is an error whose text is a sentence for the reader; the cause is there for errors.Is and errors.As.
type refusal struct {
	sentence string
	cause    error
}

func (r *refusal) Error() string { return r.sentence }
func (r *refusal) Unwrap() error { return r.cause }

// explain makes a sentence of what went wrong while attempting something, such as "connecting to".
func explain(ctx context.Context, server Server, attempt string, err error) error {
	if ctx.Err() != nil {
		return fmt.Errorf("%s the server at %s: %w", attempt, server.place(), context.Cause(ctx))
	}
	return &refusal{sentence: sentence(server, attempt, err), cause: err}
}

func sentence(server Server, attempt string, err error) string {
	place := server.place()
	var fromServer *pgconn.PgError
	if errors.As(err, &fromServer) {
		switch fromServer.Code {
		case "28P01":
			if server.Password == "" {
				return fmt.Sprintf("the server at %s wants a password for the role %s, and none was given", place, server.User)
			}
			return fmt.Sprintf("the server at %s refuses the password of the role %s", place, server.User)
		case "3D000":
			return fmt.Sprintf("there is no database %s on the server at %s", server.Database, place)
		case "53300":
			return fmt.Sprintf("the server at %s has no free connection: %s", place, fromServer.Message)
		}
		return withoutSecret(fmt.Sprintf("%s the server at %s: %s (SQLSTATE %s)", attempt, place, fromServer.Message, fromServer.Code), server.Password)
	}
	var notFound *net.DNSError
	if errors.As(err, &notFound) && notFound.IsNotFound {
		return fmt.Sprintf("there is no host called %s", server.Host)
	}
	var network *net.OpError
	if errors.As(err, &network) && network.Op == "dial" && network.Err != nil {
		reason := network.Err.Error()
		if network.Timeout() {
			reason = "no answer"
		}
		return fmt.Sprintf("no server can be reached at %s: %s", place, strings.TrimPrefix(reason, "connect: "))
	}
	if pgconn.Timeout(err) {
		return fmt.Sprintf("no server can be reached at %s: no answer", place)
	}
	if strings.Contains(err.Error(), "refused TLS connection") {
		return fmt.Sprintf("the server at %s offers no TLS, which sslmode=%s demands", place, server.SSLMode)
	}
	return withoutSecret(fmt.Sprintf("%s the server at %s: %s", attempt, place, cause(err)), server.Password)
}

// cause is the innermost text of an error, which is where the reason is; pgconn's own add what a sentence says already.
func cause(err error) string {
	for {
		var next error
		switch wrapper := err.(type) {
		case interface{ Unwrap() error }:
			next = wrapper.Unwrap()
		case interface{ Unwrap() []error }:
			if all := wrapper.Unwrap(); len(all) > 0 {
				next = all[len(all)-1]
			}
		}
		if next == nil {
			return err.Error()
		}
		err = next
	}
}

// withoutSecret is a last guard: no text that we have looked at has a password in it.
func withoutSecret(text, password string) string {
	if password == "" {
		return text
	}
	return strings.ReplaceAll(text, password, "***")
}

// quoteIdentifier quotes a name where SQL wants it.
func quoteIdentifier(name string) string {
	plain := name != ""
	for i, r := range name {
		plain = plain && (r == '_' || 'a' <= r && r <= 'z' || i > 0 && '0' <= r && r <= '9')
	}
	if plain {
		return name
	}
	return `"` + strings.ReplaceAll(name, `"`, `""`) + `"`
}

func quoteLiteral(text string) string {
	prefix := ""
	if strings.Contains(text, `\`) {
		prefix, text = "E", strings.ReplaceAll(text, `\`, `\\`)
	}
	return prefix + "'" + strings.ReplaceAll(text, "'", "''") + "'"
}
