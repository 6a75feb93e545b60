package deploy_test

import (
	"context"
	"encoding/json"
	"io"
	"net/http"
	"os"
	"strings"
	"testing"

	"github.com/jackc/pgx/v5/pgconn"
)

// dashboard is what matters of Grafana's JSON.
type dashboard struct {
	Title, UID string
	Templating struct {
		List []struct {
			Name, Type, Definition string
			Query                  json.RawMessage
		}
	}
	Panels []struct {
		ID          int
		Type, Title string
		GridPos     struct{ X, Y, W, H int }
		Targets     []struct{ RefID, Expr string }
		Datasource  struct{ UID string }
		FieldConfig struct{ Defaults struct{ Unit string } }
	}
}

// Every query of the dashboard asks for what a carpool that has been used really shows.
func TestDashboard(t *testing.T) {
	text, err := os.ReadFile("grafana/carpool.json")
	if err != nil {
		t.Fatal(err)
	}
	var d dashboard
	if err := json.Unmarshal(text, &d); err != nil {
		t.Fatal(err)
	}
	s := scrapeInUse(t)
	queries := make(map[string]bool)
	var all strings.Builder
	known := map[string]bool{"instance": true, "__rate_interval": true}
	for _, v := range d.Templating.List {
		known[v.Name] = true
		if v.Type == "query" {
			queries[v.Definition] = true
			if !strings.Contains(string(v.Query), strings.ReplaceAll(v.Definition, `"`, `\"`)) {
				t.Errorf("variable %s: query and definition differ", v.Name)
			}
		}
	}
	ids := make(map[int]bool)
	for _, p := range d.Panels {
		if ids[p.ID] || p.Title == "" || p.GridPos.X+p.GridPos.W > 24 {
			t.Errorf("panel %d %q: a second one with its number, without a title, or too wide", p.ID, p.Title)
		}
		ids[p.ID] = true
		if p.Type != "row" && (len(p.Targets) == 0 || p.Datasource.UID != "${datasource}" || p.FieldConfig.Defaults.Unit == "") {
			t.Errorf("panel %q has no query, no unit or a source of its own", p.Title)
		}
		for _, target := range p.Targets {
			queries[target.Expr] = true
		}
	}
	for query := range queries {
		all.WriteString(query + "\n")
		for _, wrong := range s.check(query) {
			t.Errorf("%s\n%s", query, wrong)
		}
		for _, name := range variable.FindAllString(query, -1) {
			if !known[strings.Trim(name, "${}")] {
				t.Errorf("%s: no variable %s", query, name)
			}
		}
	}
	if len(queries) < 40 {
		t.Errorf("only %d queries", len(queries))
	}
	for name := range s {
		name = strings.TrimSuffix(strings.TrimSuffix(strings.TrimSuffix(name, "_bucket"), "_sum"), "_count")
		if strings.HasPrefix(name, "carpool_") && !strings.Contains(all.String(), name) && !leftOut[name] {
			t.Errorf("the dashboard doesn't show %s", name)
		}
	}
}

// leftOut are metrics that the dashboard needn't show.
var leftOut = map[string]bool{
	"carpool_event_loops": true, "carpool_pool_info": true, "carpool_pool_reserve_size": true, "carpool_prepared_statements": true,
	"carpool_pool_assignments_total": true, "carpool_pool_waits_total": true, "carpool_pool_binds_total": true,
	"carpool_pool_client_parses_total": true, "carpool_pool_server_parses_total": true,
}

// scrapeInUse scrapes a carpool of which everything has been asked once.
func scrapeInUse(t *testing.T) scrape {
	t.Helper()
	url := database(t, "dashboard")
	d := start(t, t.TempDir(), "web", binary+" serve", "DATABASE_URL="+url, "CARPOOL_LISTEN_ADDR=127.0.0.1", "CARPOOL_LISTEN_PORT=0",
		"CARPOOL_UNIX_SOCKET_DIR=", "CARPOOL_METRICS_LISTEN=127.0.0.1:0", "CARPOOL_POOL_MODE=transaction")
	address := d.said("listening on ", `"`)
	metrics := d.said("metrics on ", `"`)
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	conn, err := pgconn.Connect(ctx, databaseURL(address, "dashboard", "disable"))
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = conn.Close(ctx) }()
	if _, err := conn.Exec(ctx, "CREATE TEMP TABLE one (a int); SELECT 1").ReadAll(); err != nil {
		t.Fatal(err)
	}
	if _, err := conn.Exec(ctx, "SELECT 1/0").ReadAll(); err == nil {
		t.Error("1/0 is a number")
	}
	wrong, err := pgconn.Connect(ctx, strings.Replace(databaseURL(address, "dashboard", "disable"), "p%40ss", "wrong", 1))
	if err == nil {
		_ = wrong.Close(ctx)
		t.Error("a wrong password is right")
	}
	var s scrape
	eventually(t, "the client to keep its server", func() bool {
		response, err := http.Get(metrics)
		if err != nil {
			t.Fatal(err)
		}
		defer response.Body.Close()
		text, err := io.ReadAll(response.Body)
		if err != nil {
			t.Fatal(err)
		}
		if s, err = parseScrape(string(text)); err != nil {
			t.Fatal(err)
		}
		return len(s["carpool_pins"]) > 0
	})
	return s
}

// said waits until the dyno has written what begins with a text, and returns what follows, up to the end.
func (d *dyno) said(before, end string) string {
	d.t.Helper()
	d.await(before, 1)
	written, _ := d.output.read()
	_, after, _ := strings.Cut(written, before)
	after, _, _ = strings.Cut(after, end)
	return after
}
