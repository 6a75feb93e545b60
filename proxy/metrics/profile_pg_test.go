package metrics

import (
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"
)

// Profiles are there when the setting says so, and from then on, without a
// restart; the command line never is.
func TestProfiles(t *testing.T) {
	p, _ := startProxy(t)
	h := NewHandler(p, "carpool 1.2")
	for _, path := range []string{"/debug/pprof/", "/debug/pprof/heap", "/debug/pprof/profile?seconds=1", "/debug/pprof/cmdline"} {
		if status, _ := get(h, "GET", path); status != http.StatusNotFound {
			t.Errorf("%s is %d while metrics_pprof is off", path, status)
		}
	}
	c := *p.Config()
	c.MetricsPprof = true
	if _, err := p.Reload(&c); err != nil {
		t.Fatal(err)
	}
	for path, want := range map[string]int{
		"/debug/pprof/":                        200,
		"/debug/pprof/heap":                    200,
		"/debug/pprof/goroutine?debug=1":       200,
		"/debug/pprof/symbol":                  200,
		"/debug/pprof/cmdline":                 404,
		"/debug/pprof/nonsense":                404,
		"/debug/pprof/profile?seconds=1000000": 400,
		"/debug/pprof/profile?seconds=-1":      400,
		"/debug/pprof/trace?seconds=x":         400,
	} {
		if status, body := get(h, "GET", path); status != want {
			t.Errorf("%s is %d, not %d: %s", path, status, want, body[:min(len(body), 200)])
		}
	}
}

// A profile may take longer than other answers.
func TestProfileOutlastsTheServersTimeout(t *testing.T) {
	p, _ := startProxy(t)
	c := *p.Config()
	c.MetricsPprof = true
	if _, err := p.Reload(&c); err != nil {
		t.Fatal(err)
	}
	server := httptest.NewUnstartedServer(NewHandler(p, "carpool 1.2"))
	server.Config.WriteTimeout = 500 * time.Millisecond
	server.Start()
	defer server.Close()
	resp, err := http.Get(server.URL + "/debug/pprof/trace?seconds=1")
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	var head [16]byte
	if n, err := resp.Body.Read(head[:]); resp.StatusCode != 200 || n == 0 || !strings.HasPrefix(string(head[:n]), "go 1.") {
		t.Errorf("%s: %q %v", resp.Status, head[:n], err)
	}
}
