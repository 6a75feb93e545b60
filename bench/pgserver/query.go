package pgserver

import (
	"bufio"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"strings"
	"time"
)

// superuser is the role that initdb creates. Over the Unix socket it is always trusted.
const superuser = "postgres"

// maxReply bounds one message that Exec and Value read.
const maxReply = 16 << 20

// Exec runs one or more SQL statements as the superuser, over the Unix socket and the simple protocol. An empty database is
// "postgres". It opens a connection of its own, which also works when TCP demands passwords or TLS.
func (s *Server) Exec(ctx context.Context, database, sql string) error {
	_, err := s.Value(ctx, database, sql)
	return err
}

// Value is Exec that returns the text of the first column of the last statement's first row: "" for NULL or no row.
func (s *Server) Value(ctx context.Context, database, sql string) (string, error) {
	if database == "" {
		database = superuser
	}
	value, err := s.simpleQuery(ctx, database, sql)
	if err != nil {
		return "", fmt.Errorf("running SQL in database %s: %w", database, err)
	}
	return value, nil
}

func (s *Server) simpleQuery(ctx context.Context, database, sql string) (string, error) {
	var dialer net.Dialer
	conn, err := dialer.DialContext(ctx, "unix", s.SocketPath())
	if err != nil {
		return "", err
	}
	defer conn.Close()
	// Ends a read or write under way when ctx does.
	release := context.AfterFunc(ctx, func() { _ = conn.SetDeadline(time.Unix(1, 0)) })
	defer release()

	parameters := "user\x00" + superuser + "\x00database\x00" + database + "\x00\x00"
	startup := binary.BigEndian.AppendUint32(nil, uint32(8+len(parameters)))
	startup = binary.BigEndian.AppendUint32(startup, 3<<16)
	startup = append(startup, parameters...)
	if _, err := conn.Write(startup); err != nil {
		return "", err
	}
	reader := bufio.NewReader(conn)
	if _, err := readUntilReady(reader); err != nil {
		return "", fmt.Errorf("logging in: %w", err)
	}
	query := binary.BigEndian.AppendUint32([]byte{'Q'}, uint32(4+len(sql)+1))
	query = append(query, sql...)
	query = append(query, 0)
	if _, err := conn.Write(query); err != nil {
		return "", err
	}
	value, err := readUntilReady(reader)
	if err != nil {
		return "", err
	}
	// Terminate, and wait for the server's end: whoever counts connections next doesn't see this one.
	if _, err := conn.Write([]byte{'X', 0, 0, 0, 4}); err == nil {
		_, _ = io.Copy(io.Discard, reader)
	}
	return value, nil
}

// readUntilReady reads messages up to ReadyForQuery and returns the first value of the last result, or the first error.
func readUntilReady(reader *bufio.Reader) (string, error) {
	var value string
	var failure error
	var firstRow bool
	header := make([]byte, 5)
	for {
		if _, err := io.ReadFull(reader, header); err != nil {
			return "", errors.Join(failure, err)
		}
		length := binary.BigEndian.Uint32(header[1:])
		if length < 4 || length > maxReply {
			return "", fmt.Errorf("message %q of %d bytes", header[0], length)
		}
		body := make([]byte, length-4)
		if _, err := io.ReadFull(reader, body); err != nil {
			return "", errors.Join(failure, err)
		}
		switch header[0] {
		case 'R':
			if len(body) < 4 || binary.BigEndian.Uint32(body) != 0 {
				return "", errors.New("the server asks the superuser for a password on the Unix socket")
			}
		case 'T':
			value, firstRow = "", true
		case 'D':
			if firstRow {
				value, firstRow = firstColumn(body), false
			}
		case 'E':
			if failure == nil {
				failure = serverError(body)
			}
		case 'Z':
			return value, failure
		}
	}
}

// firstColumn is the first value of a DataRow: a count of columns (int16), then for each its length (int32, -1 is NULL).
func firstColumn(row []byte) string {
	if len(row) < 6 || binary.BigEndian.Uint16(row) == 0 {
		return ""
	}
	length := int32(binary.BigEndian.Uint32(row[2:]))
	if length < 0 || int(length) > len(row)-6 {
		return ""
	}
	return string(row[6 : 6+length])
}

// serverError turns the fields of an ErrorResponse into an error with message and SQLSTATE.
func serverError(fields []byte) error {
	var message, sqlstate string
	for field := range strings.SplitSeq(string(fields), "\x00") {
		if field == "" {
			continue
		}
		switch field[0] {
		case 'M':
			message = field[1:]
		case 'C':
			sqlstate = field[1:]
		}
	}
	return fmt.Errorf("%s (SQLSTATE %s)", message, sqlstate)
}
