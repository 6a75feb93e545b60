package upstream

import (
	"fmt"
	"strings"

	"carpool/proxy/auth"
	"carpool/proxy/wire"
)

// LoginError is a server's refusal: the ErrorResponse it gave during the login,
// to the connect query, or to a question.
type LoginError struct {
	// Report is what the server said. It may be told to clients: in a mode that
	// demands TLS it came through TLS. Any of its fields may be empty.
	Report wire.Report
	// Host is the server that said it.
	Host HostPort
	// Step is what was being attempted.
	Step Step
}

// CredentialError says that a server asks for a proof that can't be given,
// because there is no password for the user or a secret of the wrong kind.
type CredentialError struct {
	Method string          // what the server asks for
	User   string          // whom the server was to log in
	Kind   auth.SecretKind // of the secret there is; the zero value is none
	// Unproven: it is a SCRAM secret by which no client has logged in yet.
	Unproven bool
	// Differs: it is a SCRAM secret, and the server has another one.
	Differs bool
}

// Error says what is missing. It holds no secret.
func (e *CredentialError) Error() string {
	switch {
	case e.Kind == auth.NoSecret:
		return fmt.Sprintf("the server asks for %s, and there is no password for user %q", e.Method, e.User)
	case e.Unproven:
		return fmt.Sprintf("the server asks for %s, and for user %q there is only a SCRAM secret, by which no client has logged in since the start", e.Method, e.User)
	case e.Differs:
		return fmt.Sprintf("the server has another SCRAM secret for user %q than the one that the client has logged in by", e.User)
	}
	return fmt.Sprintf("the server asks for %s, which the secret of kind %s for user %q can't answer", e.Method, e.Kind, e.User)
}

// Hint says what to do about it.
func (e *CredentialError) Hint() string {
	switch {
	case e.Unproven:
		return "Log in as this user with its password by SCRAM, or give the pooler its plain password."
	case e.Differs:
		return "Copy the user's rolpassword in the server's pg_authid to auth_file; with auth_query, log in again."
	}
	return "Give the database a password, or its user a plain one in auth_file."
}

// Fatal reports that trying again soon is no use.
func (e *CredentialError) Fatal() bool { return true }

// Step is a part of the way to a logged-in server.
type Step uint8

// The steps at which a server can refuse.
const (
	StepLogin           Step = iota // from the start-up packet to the first ReadyForQuery
	StepConnectQuery                // the target's ConnectQuery
	StepConnectSettings             // the question what that has set
	StepInquiry                     // a question of an Inquirer's
)

// String names the step as it reads behind "during".
func (s Step) String() string {
	switch s {
	case StepConnectQuery:
		return "connect query"
	case StepConnectSettings:
		return "question behind the connect query"
	case StepInquiry:
		return "auth_query"
	case StepLogin:
	}
	return "login"
}

// Error tells the server, the step, and the server's words, with whatever
// isn't printable escaped.
func (e *LoginError) Error() string {
	text := fmt.Sprintf("%q", e.Report.Message)
	if code := e.Report.Code; printable(code) {
		text += " (" + code + ")"
	}
	return fmt.Sprintf("server %s refused during %s: %s", e.Host, e.Step, text)
}

// Fatal reports whether trying again soon is no use because the server, being
// well, has judged: wrong password, no such database, and so on. It isn't
// fatal when the server is starting, stopping, full or ill, or gave no SQLSTATE.
func (e *LoginError) Fatal() bool {
	code := e.Report.Code
	switch code {
	case "57P01", "57P02", "57P03": // stopping, crashed, can't connect now
		return false
	}
	if len(code) < 2 {
		return false
	}
	switch code[:2] {
	case "08", "40", "53", "58": // connection, rollback, resources, system
		return false
	}
	return true
}

// Soon reports whether the server is there and says that it isn't ready yet, as
// while it starts up or recovers: asking again costs little.
func (e *LoginError) Soon() bool { return e.Report.Code == "57P03" }

// printable reports whether s is ASCII that may stand in an error as it is.
func printable(s string) bool {
	return s != "" && strings.IndexFunc(s, func(r rune) bool { return r <= ' ' || r > '~' }) < 0
}
