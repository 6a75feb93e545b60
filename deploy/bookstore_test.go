package deploy_test

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"carpool/deploy/procfile"

	"github.com/jackc/pgx/v5/pgconn"
)

// bookstore is an example app that has been built into a slug, and its database.
type bookstore struct {
	t        *testing.T
	dir      string
	lines    []procfile.Line
	database string
	environ  []string // of all its dynos
}

// examples are the directories of the examples.
var examples = [...]string{"flask-books", "django-books"}

// newBookstore builds an app and gives it an empty database.
func newBookstore(t *testing.T, app, name string) *bookstore {
	t.Helper()
	dir := slug(t, app)
	file, err := os.Open(filepath.Join(dir, "Procfile"))
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	lines, err := procfile.Parse(file)
	if err != nil {
		t.Fatal(err)
	}
	return &bookstore{t: t, dir: dir, lines: lines, database: name, environ: append(environOf(config()),
		"DATABASE_URL="+database(t, name),
		"PGSSLMODE=require", // as many apps have it; it is meant for the server, and drivers ask it of carpool too
		"WEB_CONCURRENCY=4",
		"COUNT_EVERY=0.05",
		"PYTHONDONTWRITEBYTECODE=1",
		"GUNICORN_CMD_ARGS=--log-level debug", // a line for each request that a worker begins with
	)}
}

// command is a line of the Procfile.
func (b *bookstore) command(name string) string {
	b.t.Helper()
	command, ok := procfile.Find(b.lines, name)
	if !ok {
		b.t.Fatalf("the Procfile has no line %q", name)
	}
	return command
}

// start runs a line of the Procfile as a dyno.
func (b *bookstore) start(name string, environ ...string) *dyno {
	b.t.Helper()
	return b.startCommand(name, b.command(name), environ...)
}

func (b *bookstore) startCommand(name, command string, environ ...string) *dyno {
	b.t.Helper()
	return start(b.t, b.dir, name, command, append(b.environ[:len(b.environ):len(b.environ)], environ...)...)
}

// release runs the release line to its end and returns the status.
func (b *bookstore) release() int {
	b.t.Helper()
	return b.start("release").allEnded(patience)
}

// visitor is a web browser, or the platform's router, that asks once: what isn't answered is lost.
type visitor struct {
	client *http.Client
	port   string
	base   string
}

func newVisitor(port string) *visitor {
	return &visitor{
		port: port,
		base: "http://" + local(port),
		client: &http.Client{
			Timeout: patience,
			// Without keep-alive no request goes out on a connection that the server is closing, so none is repeated.
			Transport:     &http.Transport{DisableKeepAlives: true},
			CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
		},
	}
}

// get returns the page, an error if it isn't a good one.
func (v *visitor) get(path string) (string, error) {
	response, err := v.client.Get(v.base + path)
	return page(response, err, http.StatusOK)
}

// add fills in the form. The status that it should be answered with is 303, or 400.
func (v *visitor) add(isbn, author, title string, want int) (string, error) {
	response, err := v.client.PostForm(v.base+"/books", url.Values{"isbn": {isbn}, "author": {author}, "title": {title}})
	return page(response, err, want)
}

func page(response *http.Response, err error, want int) (string, error) {
	if err != nil {
		return "", err
	}
	defer response.Body.Close()
	text, err := io.ReadAll(io.LimitReader(response.Body, 1<<20))
	if err == nil && response.StatusCode != want {
		err = fmt.Errorf("%s %s: %s, want %d", response.Request.Method, response.Request.URL.Path, response.Status, want)
	}
	return string(text), err
}

// web starts a web dyno and returns when it answers.
func (b *bookstore) web(command string) (*dyno, *visitor) {
	b.t.Helper()
	port := freePort(b.t)
	d := b.startCommand("web", command, "PORT="+port)
	v := newVisitor(port)
	d.await("Booting worker", 1)
	eventually(b.t, "the web dyno is well", func() bool {
		_, err := v.get("/healthz")
		return err == nil
	})
	return d, v
}

// visit asks for all kinds of pages at once, with that many visitors for a while, and returns the first thing that went
// wrong.
func (v *visitor) visit(visitors int, howLong time.Duration) (pages int, err error) {
	var count atomic.Int64
	wrong := make(chan error, visitors)
	end := time.Now().Add(howLong)
	var all sync.WaitGroup
	for number := range visitors {
		all.Go(func() {
			for round := 0; time.Now().Before(end); round++ {
				var err error
				switch round % 3 {
				case 0:
					_, err = v.get("/")
				case 1:
					_, err = v.get("/?q=kernighan")
				case 2:
					_, err = v.add(fmt.Sprintf("%s-%02d-%06d", v.port, number, round), "An author", "A title", http.StatusSeeOther)
				}
				if err != nil {
					wrong <- err
					return
				}
				count.Add(1)
			}
		})
	}
	all.Wait()
	close(wrong)
	return int(count.Load()), <-wrong
}

// shut makes the table of books unreadable until the returned function is called, so that requests stay in flight for as
// long as a test wants them to.
func (b *bookstore) shut() (open func()) {
	b.t.Helper()
	return b.hold("BEGIN; LOCK TABLE books")
}

// lock takes the advisory lock of the flask app's migrations until the returned function is called.
func (b *bookstore) lock() (open func()) {
	b.t.Helper()
	return b.hold("SELECT pg_advisory_lock(7355608)")
}

// hold runs statements on a connection that lives until the returned function is called.
func (b *bookstore) hold(statements string) (letGo func()) {
	b.t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	conn, err := pgconn.Connect(ctx, fmt.Sprintf("host=%s port=%d user=postgres dbname=%s", postgres.Dir(), postgres.Port(), b.database))
	if err != nil {
		b.t.Fatal(err)
	}
	letGo = sync.OnceFunc(func() { _ = conn.Close(context.Background()) })
	b.t.Cleanup(letGo)
	if err := conn.Exec(ctx, statements).Close(); err != nil {
		b.t.Fatal(err)
	}
	return letGo
}

// expect checks that a page has the texts in it.
func expect(t *testing.T, text string, err error, wanted ...string) {
	t.Helper()
	if err != nil {
		t.Error(err)
		return
	}
	for _, want := range wanted {
		if !strings.Contains(text, want) {
			t.Errorf("the page has no %q:\n%s", want, text)
		}
	}
}
