package proxy

import (
	"errors"
	"fmt"
	"time"

	"carpool/pool"
	"carpool/proxy/upstream"
	"carpool/proxy/wire"
)

// Every error that carpool itself tells a client is made here. Each says what
// happened, which setting or limit it was, and what can be done, under an
// SQLSTATE that a driver can act on.

const (
	severityFatal = "FATAL"
	severityError = "ERROR"

	codeQueryCanceled = "57014"
	codeNoDatabase    = "3D000"
)

func fatal(code, message, hint string) wire.Report {
	return wire.Report{Severity: severityFatal, Code: code, Message: message, Hint: hint}
}

func tooManyClients(setting string, limit int) wire.Report {
	r := fatal("53300", fmt.Sprintf("no more connections allowed (%s)", setting),
		fmt.Sprintf("Close connections that aren't used, or raise %s.", setting))
	if setting != "max_client_conn" {
		r.Message = fmt.Sprintf("client connections exceeded (%s)", setting)
	}
	r.Detail = fmt.Sprintf("%s is %d.", setting, limit)
	return r
}

// tooManyLogins is what a client is told whose login takes longer than that of
// others, of whom there are many.
func tooManyLogins(limit int) wire.Report {
	r := fatal("53300", "too many logins under way (max_client_logins)", "Log in without a pause, or raise max_client_logins.")
	r.Detail = fmt.Sprintf("%d may be under way at once, and of those this one had lasted for the longest.", limit)
	return r
}

func noDescriptors() wire.Report {
	r := fatal("53300", "the pooler is out of file descriptors", "Raise the pooler's limit on open files (ulimit -n), or lower max_client_conn.")
	r.Detail = "Those that are kept back serve to reach the console by the Unix socket."
	return r
}

func tooManyConsoles() wire.Report {
	r := fatal("53300", "no more console connections allowed", "Close connections to the console that aren't used.")
	r.Detail = fmt.Sprintf("The console has %d clients at once, and none of them can be sent away for this one.", mostConsoles)
	return r
}

// consolePlaceTaken is what a client of the console is told that was idle.
func consolePlaceTaken() wire.Report {
	r := fatal("57P05", "the console has given the place of this connection to a newer one", "Close connections to the console that aren't used.")
	r.Detail = fmt.Sprintf("The console has %d clients at once.", mostConsoles)
	return r
}

func noSuchDatabase(name string) wire.Report {
	return fatal(codeNoDatabase, fmt.Sprintf("no such database: %s", name),
		"Add it to [databases], or a fallback named *.")
}

func databaseDenied(name string) wire.Report {
	return fatal("42501", fmt.Sprintf("permission denied for database %q", name),
		"The user of a database URL reaches the databases of URLs with that user; CARPOOL_USERLIST holds users who reach all.")
}

func loginRejected(message, hint string) wire.Report { return fatal("28000", message, hint) }

func unacceptableParameter(name string) wire.Report {
	return fatal("22023", fmt.Sprintf("unsupported startup parameter: %s", name),
		"Its value must be plain ASCII of reasonable length; ignore_startup_parameters drops a parameter.")
}

func loginTimedOut(message string, limit time.Duration) wire.Report {
	return fatal("08006", message,
		fmt.Sprintf("Log in within %s, or raise client_login_timeout.", limit))
}

func inquiryFailed() wire.Report {
	return fatal("08006", "the user can't be looked up (auth_query)",
		"The pooler's log says why. Try again when the database is reachable.")
}

func queryWaitTimedOut(limit time.Duration, cause error) wire.Report {
	r := fatal("53300", "query_wait_timeout",
		"Make transactions shorter, or raise default_pool_size or query_wait_timeout.")
	r.Detail = fmt.Sprintf("No server connection became free within %s.", limit)
	if cause != nil {
		r.Detail += " The last attempt to open one failed: " + causeText(cause) + "."
	}
	return r
}

func stillWaiting(waited time.Duration) wire.Report {
	return wire.Report{
		Severity: "NOTICE", Code: "00000",
		Message: "waiting for a server connection: all of the pool's are in use",
		Detail:  fmt.Sprintf("Waited for %s so far (query_wait_notify).", waited.Round(time.Second)),
	}
}

func queryTimedOut(limit time.Duration) wire.Report {
	return fatal(codeQueryCanceled, "query_timeout", fmt.Sprintf("The query took longer than query_timeout, %s.", limit))
}

func idleTransactionTimedOut(limit time.Duration) wire.Report {
	return fatal("25P03", "idle_transaction_timeout",
		fmt.Sprintf("The transaction was idle for longer than idle_transaction_timeout, %s.", limit))
}

func transactionTimedOut(limit time.Duration) wire.Report {
	return fatal("25P04", "transaction_timeout",
		fmt.Sprintf("The transaction took longer than transaction_timeout, %s.", limit))
}

func clientIdleTimedOut(limit time.Duration) wire.Report {
	return fatal("57P05", "client_idle_timeout",
		fmt.Sprintf("The connection was idle for longer than client_idle_timeout, %s.", limit))
}

func queryCanceled() wire.Report {
	return wire.Report{
		Severity: severityError, Code: codeQueryCanceled,
		Message: "canceling statement due to user request",
		Detail:  "It was waiting for a server connection.",
	}
}

// transactionAborted is what Postgres says until a failed transaction ends.
func transactionAborted() wire.Report {
	return wire.Report{
		Severity: severityError, Code: "25P02",
		Message: "current transaction is aborted, commands ignored until end of transaction block",
	}
}

func shuttingDown() wire.Report {
	return fatal("57P01", "server shutting down", "The pooler was told to stop; connect again.")
}

func adminDisconnect() wire.Report {
	return fatal("57P01", "admin forced disconnect", "An operator has ended the connection; connect again.")
}

func databaseDisabled(name string) wire.Report {
	return fatal("55000", fmt.Sprintf("database %q is disabled", name), "An operator has disabled it for new clients.")
}

func notAccepting() wire.Report {
	return fatal("57P03", "the pooler is shutting down", "Connect again in a moment.")
}

func serverClosed() wire.Report {
	return fatal("08006", "server conn crashed?", "The server connection was lost while it was in use; connect again.")
}

func serverOutOfStep() wire.Report {
	return fatal("08P01", "the server sent something that doesn't fit the conversation",
		"The server connection was closed; connect again.")
}

func protocolViolation(what string) wire.Report { return fatal("08P01", what, "") }

func messageTooLong(setting string, limit int) wire.Report {
	return fatal("54000", fmt.Sprintf("message too long (%s)", setting),
		fmt.Sprintf("%s is %d bytes.", setting, limit))
}

func tooManyNotifications(limit int) wire.Report {
	r := fatal("54000", "too many notifications wait for the client (listen_queue_size)",
		"End transactions sooner, read notifications as they come, or raise listen_queue_size.")
	r.Detail = fmt.Sprintf("listen_queue_size is %d. Notifications are delivered between transactions, as far as the client reads them.", limit)
	return r
}

func listeningRefused(channel string, err error) wire.Report {
	r := fatal("08006", fmt.Sprintf("notifications on channel %q can't be listened for any more", channel),
		"Connect and LISTEN again.")
	r.Detail = causeText(err)
	return r
}

func transactionInStatementMode() wire.Report {
	return fatal("0A000", "transaction blocks not allowed in statement pooling mode",
		"Use pool_mode = transaction for databases or users that need transactions.")
}

// refusalReport is the error that takes the place of the server's.
func refusalReport(r refusal, name string, maxNames int) wire.Report {
	report := wire.Report{Severity: severityError}
	switch r {
	case refuseDuplicate:
		report.Code, report.Message = "42P05", fmt.Sprintf("prepared statement %q already exists", name)
	case refuseUnknown:
		report.Code, report.Message = "26000", fmt.Sprintf("prepared statement %q does not exist", name)
	case refuseState:
		report.Code = "0A000"
		report.Message = "the statement would leave state behind in its session (" + name + " = reject)"
		report.Hint = "In transaction mode the next transaction may be on another server. Set " + name + " = transparent to let the state follow or keep its client, or use pool_mode = session."
	case refuseResult: // drivers know it by its words, or by where it comes from
		report.Code, report.Message, report.Routine = "0A000", "cached plan must not change result type", "RevalidateCachedQuery"
	case refuseAborted:
		report = transactionAborted()
	case refuseTooMany:
		report.Code, report.Message = "53400", "too many prepared statements (max_client_prepared_statements)"
		report.Detail = fmt.Sprintf("max_client_prepared_statements is %d.", maxNames)
		report.Hint = "Close or DEALLOCATE statements that aren't used any more."
	}
	return report
}

// parameterRefused is what a client is told whose parameter a server refuses
// that has taken it before, or another one like it.
func parameterRefused(name string, r wire.Report) wire.Report {
	return wire.Report{
		Severity: severityError, Code: r.Code,
		Message: fmt.Sprintf("parameter %q can't be set on this server connection: %s", name, r.Message),
		Detail:  "The client has set it before. Nothing of the statement was executed.",
		Hint:    "SET the parameter to something else, or RESET it.",
	}
}

// parameterStays is what a client is told whose server can't be rid of a
// parameter that another client has set.
func parameterStays(name string, r wire.Report) wire.Report {
	return wire.Report{
		Severity: severityError, Code: r.Code,
		Message: fmt.Sprintf("parameter %q can't be reset on this server connection: %s", name, r.Message),
		Detail:  "Another client has set it. Nothing of the statement was executed.",
		Hint:    "Repeat the statement: the server connection is closed.",
	}
}

// noServer is what a client is told when the pool can't give it a server: the
// server's own words if it said any.
func noServer(err error) wire.Report {
	var login *upstream.LoginError
	var credential *upstream.CredentialError
	switch {
	case errors.As(err, &login):
		r := login.Report
		r.Severity = severityFatal
		if r.Code == "" {
			r.Code = "08006"
		}
		if r.Message == "" {
			r.Message = "the server refused the login without saying why"
		}
		return r
	case errors.As(err, &credential):
		return fatal("28P01", credential.Error(), credential.Hint())
	case errors.Is(err, pool.ErrClosed), errors.Is(err, pool.ErrRemoved):
		return shuttingDown()
	}
	hint := "Check that the server runs and that host and port are right."
	if upstream.FailureOf(err) == upstream.FailureEncryption {
		hint = "Check sslmode of the database (server_tls_sslmode), and whether the server offers TLS with a certificate that fits."
	}
	r := fatal("08001", "server login has been failing, try again later (server_login_retry)", hint)
	r.Detail = causeText(err)
	return r
}

// causeText is an error in one line that may be shown to a client.
func causeText(err error) string {
	text := err.Error()
	const limit = 500
	if len(text) > limit {
		text = text[:limit] + "..."
	}
	return text
}
