package upstream

import (
	"context"
	"errors"
	"io"
	"net"
	"strings"
	"syscall"
)

// Failure says roughly why a server couldn't be opened, for counting.
type Failure uint8

// The ways in which opening a server fails.
const (
	FailureOther       Failure = iota // what is none of the others
	FailureName                       // its host name couldn't be looked up
	FailureConnection                 // nobody listens, no way there, or the connection broke
	FailureTimeout                    // it took too long
	FailureEncryption                 // TLS didn't come about
	FailureCredentials                // it refused the password, or there is none for it
	FailureFull                       // it has all the connections it takes
	FailureStarting                   // it is starting, stopping or recovering
	FailureRefused                    // it refused the login with another SQLSTATE
	Failures                          // how many there are
)

// String returns a short lower-case phrase fit for metric labels.
func (f Failure) String() string {
	switch f {
	case FailureName:
		return "name lookup"
	case FailureConnection:
		return "connection"
	case FailureTimeout:
		return "timeout"
	case FailureEncryption:
		return "encryption"
	case FailureCredentials:
		return "credentials"
	case FailureFull:
		return "server full"
	case FailureStarting:
		return "server starting"
	case FailureRefused:
		return "refused"
	default:
		return "other"
	}
}

// FailureOf says why Dial returned err, which isn't nil. What the server said
// itself counts before what happened around it.
func FailureOf(err error) Failure {
	var refusal *LoginError
	var credential *CredentialError
	var lookup *net.DNSError
	var encryption *encryptionError
	var operation *net.OpError
	var number syscall.Errno
	switch {
	case errors.As(err, &refusal):
		return refused(refusal.Report.Code)
	case errors.As(err, &credential):
		return FailureCredentials
	case errors.Is(err, context.DeadlineExceeded), errors.Is(err, syscall.ETIMEDOUT):
		return FailureTimeout
	case errors.As(err, &lookup):
		return FailureName
	case errors.As(err, &encryption):
		return FailureEncryption
	case errors.As(err, &operation), errors.As(err, &number), errors.Is(err, io.EOF), errors.Is(err, io.ErrUnexpectedEOF):
		return FailureConnection
	}
	return FailureOther
}

// refused is what a refusal with an SQLSTATE amounts to.
func refused(code string) Failure {
	switch {
	case strings.HasPrefix(code, "28"):
		return FailureCredentials
	case code == "53300":
		return FailureFull
	case code == "57P01", code == "57P02", code == "57P03":
		return FailureStarting
	}
	return FailureRefused
}
