package proxy

import (
	"errors"
	"os"
	"strings"
	"testing"
	"time"

	"carpool/proxy/wire"
)

// The manual quotes what clients are told, word for word and with its SQLSTATE.
func TestManualQuotesErrors(t *testing.T) {
	text, err := os.ReadFile("../docs/operations.md")
	if err != nil {
		t.Fatal(err)
	}
	_, troubles, found := strings.Cut(string(text), "## Ten troubles\n")
	if !found || strings.Count(troubles, "\n### ") != 10 {
		t.Fatal("the manual hasn't ten troubles")
	}
	rejected := refusalReport(refuseState, "state_temporary", 0)
	for _, r := range []wire.Report{
		queryWaitTimedOut(2*time.Minute, nil), noServer(errors.New("connection refused")), inquiryFailed(), tooManyClients("max_client_conn", 1), tooManyLogins(1), rejected,
		serverClosed(), idleTransactionTimedOut(0), queryTimedOut(0), clientIdleTimedOut(0), shuttingDown(), adminDisconnect(),
	} {
		if !strings.Contains(troubles, r.Severity+": "+r.Message+"` ("+r.Code+")") && !strings.Contains(troubles, "`"+r.Message+"` ("+r.Code+")") {
			t.Errorf("the manual doesn't quote %s: %s (%s)", r.Severity, r.Message, r.Code)
		}
	}
	for _, words := range []string{queryWaitTimedOut(2*time.Minute, nil).Detail, terminating().Message, "The last attempt to open one failed"} {
		if !strings.Contains(strings.ReplaceAll(troubles, "\n", " "), words) {
			t.Errorf("the manual doesn't quote %q", words)
		}
	}
}
