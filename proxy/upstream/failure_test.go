package upstream

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"syscall"
	"testing"

	"carpool/proxy/wire"
)

func TestFailureOf(t *testing.T) {
	said := func(code string) error { return &LoginError{Report: wire.Report{Code: code}} }
	for _, row := range []struct {
		err  error
		want Failure
	}{
		{said("28P01"), FailureCredentials},
		{said("28000"), FailureCredentials},
		{said("53300"), FailureFull},
		{said("57P03"), FailureStarting},
		{said("57P01"), FailureStarting},
		{said("3D000"), FailureRefused},
		{said(""), FailureRefused},
		{&CredentialError{Method: "md5"}, FailureCredentials},
		{context.DeadlineExceeded, FailureTimeout},
		{&net.OpError{Op: "dial", Err: syscall.ETIMEDOUT}, FailureTimeout},
		{&net.OpError{Op: "dial", Err: syscall.ECONNREFUSED}, FailureConnection},
		{&net.DNSError{IsNotFound: true}, FailureName},
		{&encryptionError{errors.New("no TLS")}, FailureEncryption},
		{io.EOF, FailureConnection},
		{syscall.ENOENT, FailureConnection},
		{errors.New("something else"), FailureOther},
		{errors.Join(&net.OpError{Op: "dial", Err: syscall.ECONNREFUSED}, said("57P03")), FailureStarting},
	} {
		if got := FailureOf(fmt.Errorf("connecting: %w", row.err)); got != row.want {
			t.Errorf("%v: %s, want %s", row.err, got, row.want)
		}
	}
	names := make(map[string]bool)
	for f := range Failures {
		names[f.String()] = true
	}
	if len(names) != int(Failures) {
		t.Error("two failures have the same name", names)
	}
}
