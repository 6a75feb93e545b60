package deploy_test

import (
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// withinGrace is how long a platform lets the processes of a dyno live after SIGTERM.
const withinGrace = 30 * time.Second

// A release, then web and worker under load, then the platform stops them, while all of the web's workers have requests.
func TestDynos(t *testing.T) {
	for _, app := range examples {
		t.Run(app, func(t *testing.T) {
			b := newBookstore(t, app, strings.ReplaceAll(app, "-", "_"))
			for range 2 { // the second one finds nothing to do
				if status := b.release(); status != 0 {
					t.Fatalf("the release ends with status %d", status)
				}
			}
			web, v := b.web(b.command("web"))
			worker := b.start("worker")
			tryPages(t, v)
			pages, err := v.visit(4, time.Second)
			if err != nil {
				t.Errorf("after %d pages: %v", pages, err)
			}
			// The worker counts what the visitors have added.
			eventually(t, "the worker has counted", func() bool {
				return value(t, b.database, "SELECT (SELECT books FROM shelf) = (SELECT count(*) FROM books)") == "t"
			})
			// A worker process for each of four requests, and one server connection, or two: two of them wait in carpool.
			open := b.shut()
			answers := ask(web, v, 4)
			web.terminate()
			worker.terminate()
			started := time.Now()
			web.await("Handling signal: term", 1)
			open()
			for range 4 {
				if err := <-answers; err != nil {
					t.Errorf("a request that was in flight: %v", err)
				}
			}
			for _, d := range []*dyno{web, worker} {
				if status := d.allEnded(withinGrace - time.Since(started)); status != 0 {
					t.Errorf("the %s dyno ends with status %d", d.name, status)
				}
			}
			worker.await("worker: stopped\n", 1)
			noConnections(t)
		})
	}
}

// tryPages looks at each page once.
func tryPages(t *testing.T, v *visitor) {
	t.Helper()
	text, err := v.get("/")
	expect(t, text, err, "The Mythical Man-Month", "9780131103627", "3 books, counted at")
	text, err = v.get("/?q=kERNIGHan+ritchie")
	expect(t, text, err, "kERNIGHan ritchie")
	if strings.Contains(text, "9780134190440") {
		t.Error("a search finds what it shouldn't")
	}
	text, err = v.get("/?q=gO+prog%00")
	expect(t, text, err, "The Go Programming Language")
	if _, err := v.add("978-0201633610", "Erich Gamma & others", "Design <Patterns>", 303); err != nil {
		t.Error(err)
	}
	text, err = v.get("/?q=patterns")
	expect(t, text, err, "Erich Gamma &amp; others", "Design &lt;Patterns&gt;")
	text, err = v.add("978-0201633610", "Someone", "Else", 400)
	expect(t, text, err, "There is a book with this ISBN already.", "All books")
	text, err = v.add("many", "Someone", "Else", 400)
	expect(t, text, err, "An ISBN has 10 or 13 digits")
	if _, err = v.add("", "", "", 400); err != nil {
		t.Error(err)
	}
}

// ask sends requests and returns when each of them is in the hands of a worker process of the dyno.
func ask(web *dyno, v *visitor, requests int) <-chan error {
	web.t.Helper()
	const begun = " GET /\n" // of gunicorn's log
	// A page that isn't there comes after all that was asked for before, in the log too.
	const nothing = "/nothing"
	if response, err := v.client.Get(v.base + nothing); err != nil {
		web.t.Fatal(err)
	} else if err := response.Body.Close(); err != nil || response.StatusCode != 404 {
		web.t.Errorf("%s is %s, %v", nothing, response.Status, err)
	}
	web.await(" GET "+nothing+"\n", 1)
	written, _ := web.output.read()
	before := strings.Count(written, begun)
	answers := make(chan error, requests)
	for range requests {
		go func() {
			_, err := v.get("/")
			answers <- err
		}()
	}
	web.await(begun, before+requests)
	return answers
}

// brokenMigrations are migrations that the database refuses half-way, by app.
var brokenMigrations = map[string]struct{ file, text string }{
	"flask-books": {"migrations/versions/0003_broken.py", `"""Broken."""

from alembic import op

revision = "0003"
down_revision = "0002"


def upgrade():
    op.execute("CREATE TABLE half ()")
    op.execute("SELECT 1/0")
`},
	"django-books": {"bookstore/migrations/0003_broken.py", `from django.db import migrations


class Migration(migrations.Migration):
    dependencies = [("bookstore", "0002_shelf")]
    operations = [migrations.RunSQL("CREATE TABLE half ()"), migrations.RunSQL("SELECT 1/0")]
`},
}

// A migration that fails must stop the release: the platform goes by the status.
func TestAFailingMigrationFailsTheRelease(t *testing.T) {
	for _, app := range examples {
		t.Run(app, func(t *testing.T) {
			b := newBookstore(t, app, "broken_"+strings.ReplaceAll(app, "-", "_"))
			if status := b.release(); status != 0 {
				t.Fatalf("the first release ends with status %d", status)
			}
			broken := brokenMigrations[app]
			mustWrite(t, filepath.Join(b.dir, broken.file), broken.text)
			d := b.start("release")
			d.await("division by zero", 1)
			if status := d.allEnded(patience); status != 1 {
				t.Errorf("it ends with status %d, as Python's should be", status)
			}
			if value(t, b.database, "SELECT to_regclass('half') IS NULL") != "t" {
				t.Error("half of the migration is there")
			}
			noConnections(t)
			if got := value(t, b.database, "SELECT count(*) FROM pg_locks WHERE locktype = 'advisory'"); got != "0" {
				t.Errorf("%s advisory locks are left", got)
			}
		})
	}
}

// The models and the migrations say the same.
func TestDjangoMigrationsAreComplete(t *testing.T) {
	b := newBookstore(t, "django-books", "django_models")
	const manage = "carpool exec -- python3 manage.py "
	d := b.startCommand("run", manage+"makemigrations --check --dry-run && "+manage+"check --fail-level WARNING")
	if status := d.allEnded(patience); status != 0 {
		t.Errorf("status %d", status)
	}
}

// Two releases at once, as with two pipelines that deploy: a session's advisory lock lets one wait for the other.
func TestReleasesAtTheSameTime(t *testing.T) {
	b := newBookstore(t, "flask-books", "two_releases")
	// Both wait for a third, so that both are there before one begins.
	sql(t, b.database, "CREATE TABLE alembic_version (version_num varchar(32) PRIMARY KEY)")
	sql(t, b.database, "ALTER TABLE alembic_version OWNER TO "+role)
	open := b.lock()
	first, second := b.start("release"), b.start("release")
	eventually(t, "both releases wait for the lock", func() bool {
		return value(t, b.database, "SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND NOT granted") == "2"
	})
	open()
	for _, d := range []*dyno{first, second} {
		if status := d.allEnded(patience); status != 0 {
			t.Errorf("a release ends with status %d", status)
		}
	}
	if got := value(t, b.database, "SELECT (SELECT version_num FROM alembic_version) || ' ' || (SELECT count(*) FROM books)"); got != "0002 3" {
		t.Errorf("version and number of books are %s", got)
	}
	noConnections(t)
}
