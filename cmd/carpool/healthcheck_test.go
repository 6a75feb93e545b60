package main

import (
	"context"
	"errors"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"syscall"
	"testing"
	"time"
)

func TestHealthURL(t *testing.T) {
	for _, row := range []struct{ listen, want string }{
		{"", "http://127.0.0.1:9187/healthz"},
		{":9200", "http://127.0.0.1:9200/healthz"},
		{"*:9200", "http://127.0.0.1:9200/healthz"},
		{"0.0.0.0:9200", "http://127.0.0.1:9200/healthz"},
		{"[::]:9200", "http://127.0.0.1:9200/healthz"},
		{"[::1]:9200", "http://[::1]:9200/healthz"},
		{"10.1.2.3:9200", "http://10.1.2.3:9200/healthz"},
		{"nonsense", "http://127.0.0.1:9187/healthz"},
	} {
		if got := healthURL(row.listen); got != row.want {
			t.Errorf("metrics_listen %q: got %s, want %s", row.listen, got, row.want)
		}
	}
}

func TestAskHealth(t *testing.T) {
	elsewhere := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) {}))
	defer elsewhere.Close()
	hold := make(chan struct{})
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		switch r.URL.Path {
		case "/healthz":
			w.WriteHeader(http.StatusNoContent)
		case "/draining":
			w.WriteHeader(http.StatusServiceUnavailable)
		case "/moved":
			http.Redirect(w, r, elsewhere.URL, http.StatusFound)
		case "/slow":
			<-hold
		}
	}))
	defer server.Close()
	defer close(hold)
	unused, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	nobody := "http://" + unused.Addr().String()
	if err := unused.Close(); err != nil {
		t.Fatal(err)
	}
	for _, row := range []struct {
		url     string
		timeout time.Duration
		want    string // part of the error, "" for none
	}{
		{server.URL + "/healthz", patience, ""},
		{server.URL + "/draining", patience, "503 Service Unavailable"},
		{server.URL + "/moved", patience, "302 Found"},
		{server.URL + "/slow", 50 * time.Millisecond, "no answer within 50ms"},
		{nobody, patience, "refused (nobody listens there: carpool doesn't run, or metrics_listen is empty"},
		{strings.Replace(nobody, "//", "//me:secret@", 1), patience, "refused"},
		{"ftp://127.0.0.1/", patience, "http://"},
		{"127.0.0.1:9187", patience, "http://"},
	} {
		err := askHealth(context.Background(), row.url, row.timeout)
		if row.want == "" && err != nil || row.want != "" && (err == nil || !strings.Contains(err.Error(), row.want)) {
			t.Errorf("%s: got %v, want %q", row.url, err, row.want)
		}
		if err != nil && strings.Contains(err.Error(), "secret") {
			t.Errorf("%s: the error shows the password", row.url)
		}
	}
	canceled, cancel := context.WithCancelCause(context.Background())
	cancel(errCanceled)
	if err := askHealth(canceled, server.URL+"/slow", patience); !errors.Is(err, errCanceled) {
		t.Errorf("a signal is told as %v", err)
	}
}

// The program as a container runs it: it finds the metrics of the carpool beside it by the same variable.
func TestHealthcheckOfARunningCarpool(t *testing.T) {
	p := start(t, ownURL(), "serve", "--port", "0", "--set", "metrics_listen=127.0.0.1:0")
	address, _, _ := strings.Cut(p.await(`msg="metrics on http://`), "/metrics")
	environ := []string{metricsVariable + "=" + address}
	if status := start(t, environ, "healthcheck").wait(); status != exitOK {
		t.Errorf("beside a carpool that is well it ends with %d", status)
	}
	if status := start(t, nil, "healthcheck", "--url", "http://"+address+"/readyz").wait(); status != exitOK {
		t.Errorf("asked whether it is ready, it ends with %d", status)
	}
	if status, stdout, _ := runHere([]string{metricsVariable + "="}, "healthcheck"); status != exitOK || !strings.Contains(stdout, "nothing to ask") {
		t.Errorf("without metrics it ends with %d: %s", status, stdout)
	}
	p.signal(syscall.SIGTERM)
	p.wait()
	after := start(t, environ, "healthcheck")
	if status := after.wait(); status != exitFailure {
		t.Errorf("with nobody there it ends with %d", status)
	}
	if got := after.stderr.String(); strings.Count(got, "\n") != 1 || !strings.Contains(got, address) {
		t.Errorf("it says %q", got)
	}
}
