package drivers

import (
	"context"
	"crypto/md5"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"reflect"
	"strings"
	"sync"
	"time"
)

// shelf is the start-up parameters of several steps.
func shelf() map[string]string {
	return map[string]string{"application_name": "shelf", "options": "-c statement_timeout=31s -c search_path=one"}
}

// repetitions is how often most queries are done, so that more than one server has to do with them.
const repetitions = 6

// journeys are the steps as a client in Go goes through them.
var journeys = map[string]func(*journey) any{
	"connect":              (*journey).stepConnect,
	"simple":               func(j *journey) any { return j.numbers(j.connect(nil), "SELECT n FROM generate_series(1, 3) AS n") },
	"parameters":           (*journey).stepParameters,
	"large":                (*journey).stepLarge,
	"types":                (*journey).stepTypes,
	"concurrent":           (*journey).stepConcurrent,
	"batch":                (*journey).stepBatch,
	"transaction":          (*journey).stepTransaction,
	"set":                  (*journey).stepSet,
	"set in a transaction": (*journey).stepSetInTransaction,
	"set local":            (*journey).stepSetLocal,
	"reset":                (*journey).stepReset,
	"role":                 (*journey).stepRole,
	"prepare":              (*journey).stepPrepare,
	"temporary table":      (*journey).stepTemporaryTable,
	"advisory lock":        (*journey).stepAdvisoryLock,
	"cursor":               (*journey).stepCursor,
	"held cursor":          (*journey).stepHeldCursor,
	"copy in":              (*journey).stepCopyIn,
	"copy out":             (*journey).stepCopyOut,
	"listen":               (*journey).stepListen,
	"error":                (*journey).stepError,
	"cancel":               (*journey).stepCancel,
	"changed table":        (*journey).stepChangedTable,
	"close":                (*journey).stepClose,
}

// distinct are the different answers of a query of texts that is repeated.
func (j *journey) distinct(c client, columns int, sql string, args ...any) [][]string {
	var answers [][]string
	for range repetitions {
		row, into := make([]string, columns), make([]any, columns)
		for i := range row {
			into[i] = &row[i]
		}
		j.scan(c, sql, args, into...)
		if len(answers) == 0 || !reflect.DeepEqual(answers[len(answers)-1], row) {
			answers = append(answers, row)
		}
	}
	return answers
}

// setting is the value of a parameter, or all that were seen if it isn't always the same.
func (j *journey) setting(c client, name string) string {
	return strings.Join(flat(j.distinct(c, 1, "SELECT current_setting('"+name+"')")), ", then ")
}

func (j *journey) stepConnect() any {
	return j.distinct(j.connect(shelf()), 3,
		"SELECT current_setting('application_name'), current_setting('statement_timeout'), current_setting('search_path')")
}

func (j *journey) stepParameters() any {
	c := j.connect(nil)
	sum, title := int32(0), ""
	for i := int32(1); i <= 20; i++ {
		var double int32
		j.scan(c, "SELECT CAST($1 AS int) * 2, CAST($2 AS text)", []any{i, fmt.Sprintf("book %d", i)}, &double, &title)
		sum += double
	}
	return []any{sum, title}
}

func (j *journey) stepLarge() any {
	c := j.connect(nil)
	var answers []any
	for _, times := range []int{340, 34000} {
		text := strings.Repeat("aé€", times)
		var length, bytes int32
		var sum, back string
		j.scan(c, "SELECT length(t), md5(t), t, length(b) FROM (SELECT CAST($1 AS text) AS t, CAST($2 AS bytea) AS b) AS s",
			[]any{text, []byte(text)}, &length, &sum, &back, &bytes)
		answers = append(answers, []any{length, sum, back == text && md5.Sum([]byte(text)) == md5.Sum([]byte(back)), bytes})
	}
	return answers
}

func (j *journey) stepTypes() any {
	c := j.connect(nil)
	var answers []any
	for range repetitions {
		var null *int32
		var document, name, price string
		var blob []byte
		var moment time.Time
		array, numbers := []int32{1, 2, 3}, []int32{}
		if j.err != nil {
			return nil
		}
		j.scan(c, `SELECT CAST($1 AS int), CAST($2 AS int[]), CAST(CAST($3 AS jsonb) AS text), CAST($4 AS bytea),
			CAST($5 AS timestamptz), CAST($6 AS text), CAST(CAST(CAST($7 AS text) AS numeric) AS text)`,
			[]any{nil, c.array(&array), `{"a": [1, null, "é"]}`, []byte{0, 1, 0xff, '\\'}, time.Unix(1700000000, 0), "naïve", "12.50"},
			&null, c.array(&numbers), &document, &blob, &moment, &name, &price)
		answer := []any{null, numbers, json.RawMessage(document), hex.EncodeToString(blob), moment.Unix(), name, price}
		if len(answers) == 0 || !reflect.DeepEqual(answers[len(answers)-1], answer) {
			answers = append(answers, answer)
		}
	}
	return answers
}

func (j *journey) stepConcurrent() any {
	const workers, rounds = 4, 20
	acquire, shut, err := j.driver.pool(j.ctx, workers)
	if err != nil {
		j.fail(err)
		return nil
	}
	defer shut()
	var all sync.WaitGroup
	right := make([]int, workers)
	travellers := make([]journey, workers)
	for worker := range workers {
		all.Go(func() {
			w := &travellers[worker]
			w.ctx, w.driver = j.ctx, j.driver
			for round := range rounds {
				c, err := acquire()
				if err != nil {
					w.fail(err)
					return
				}
				name := fmt.Sprintf("worker %d", worker)
				w.run(c, "SET application_name = '"+name+"'")
				var seen string
				var number int32
				w.scan(c, "SELECT current_setting('application_name'), CAST($1 AS int)", []any{int32(round)}, &seen, &number)
				if seen == name && number == int32(round) {
					right[worker]++
				}
				w.does("giving back", func() error { return c.close(w.ctx) })
			}
		})
	}
	all.Wait()
	for i := range travellers {
		if err := travellers[i].err; err != nil {
			j.fail(err)
		}
	}
	return right
}

func (j *journey) stepBatch() any {
	c := j.connect(nil)
	var numbers []int32
	for i := range int32(50) {
		numbers = append(numbers, i+1)
	}
	j.does("batch", func() error { return c.batch(j.ctx, "INSERT INTO ticket VALUES ($1)", numbers) })
	return []int32{j.number(c, "SELECT CAST(count(*) AS int) FROM ticket"), j.number(c, "SELECT CAST(sum(n) AS int) FROM ticket")}
}

func (j *journey) stepTransaction() any {
	c := j.connect(nil)
	const insert = "INSERT INTO books VALUES ($1, $2)"
	j.begin(c)
	j.run(c, insert, 1, "kept")
	j.commit(c)
	j.begin(c)
	j.run(c, insert, 2, "lost")
	j.rollback(c)
	j.begin(c)
	j.run(c, insert, 3, "before")
	j.run(c, "SAVEPOINT here")
	j.run(c, insert, 4, "lost")
	j.run(c, "ROLLBACK TO SAVEPOINT here")
	j.run(c, insert, 5, "after")
	j.commit(c)
	var titles []string
	for id := range int32(5) {
		if id := id + 1; j.number(c, "SELECT CAST(count(*) AS int) FROM books WHERE id = $1", id) == 1 {
			titles = append(titles, j.text(c, "SELECT title FROM books WHERE id = $1", id))
		}
	}
	return titles
}

func (j *journey) stepSet() any {
	c := j.connect(nil)
	const place = "SELECT name FROM place WHERE name <> $1"
	before := []string{j.text(c, place, "")}
	j.run(c, "SET search_path = two")
	j.run(c, "SET TIME ZONE 'Asia/Kolkata'")
	j.run(c, "SET statement_timeout = '41s'")
	j.run(c, "SET application_name = 'reader'")
	var after [][]string
	for _, row := range j.distinct(c, 4, "SELECT current_setting('search_path'), current_setting('TimeZone'), "+
		"current_setting('statement_timeout'), current_setting('application_name')") {
		after = append(after, append(row, j.text(c, place, "")))
	}
	return []any{before, after}
}

func (j *journey) stepSetInTransaction() any {
	c := j.connect(nil)
	j.begin(c)
	j.run(c, "SET statement_timeout = '51s'")
	j.rollback(c)
	answers := []string{j.setting(c, "statement_timeout")}
	j.begin(c)
	j.run(c, "SET statement_timeout = '52s'")
	j.commit(c)
	answers = append(answers, j.setting(c, "statement_timeout"))
	j.begin(c)
	j.run(c, "SET statement_timeout = '53s'")
	j.run(c, "SAVEPOINT here")
	j.run(c, "SET statement_timeout = '54s'")
	j.run(c, "ROLLBACK TO SAVEPOINT here")
	j.commit(c)
	return append(answers, j.setting(c, "statement_timeout"))
}

func (j *journey) stepSetLocal() any {
	c := j.connect(nil)
	j.begin(c)
	j.run(c, "SET LOCAL statement_timeout = '61s'")
	inside := j.text(c, "SELECT current_setting('statement_timeout')")
	j.commit(c)
	after := j.setting(c, "statement_timeout")
	j.text(c, "SELECT set_config('timezone', $1, false)", "Asia/Tokyo")
	return []string{inside, after, j.setting(c, "TimeZone")}
}

func (j *journey) stepReset() any {
	c := j.connect(shelf())
	j.run(c, "SET search_path = two")
	answers := []string{j.setting(c, "search_path")}
	j.run(c, "RESET search_path")
	answers = append(answers, j.setting(c, "search_path"))
	j.run(c, "SET statement_timeout = '71s'")
	j.run(c, "RESET ALL")
	return append(answers, j.setting(c, "statement_timeout"))
}

func (j *journey) stepRole() any {
	c := j.connect(nil)
	const who = "SELECT CAST(current_user AS text)"
	j.run(c, "SET ROLE reader")
	taken := j.distinct(c, 1, who)
	j.run(c, "RESET ROLE")
	return flat(append(taken, j.distinct(c, 1, who)...))
}

func flat(rows [][]string) []string {
	var all []string
	for _, row := range rows {
		all = append(all, row...)
	}
	return all
}

func (j *journey) stepPrepare() any {
	c := j.connect(nil)
	j.run(c, "PREPARE plan (int) AS SELECT $1 * 3")
	answers := []any{j.number(c, "EXECUTE plan (4)"), j.number(c, "EXECUTE plan (4)"), j.number(c, "EXECUTE plan (4)")}
	j.run(c, "DEALLOCATE plan")
	return append(answers, j.refusal(c, "EXECUTE plan (4)"))
}

func (j *journey) stepTemporaryTable() any {
	c, other := j.connect(nil), j.connect(nil)
	j.run(c, "CREATE TEMPORARY TABLE basket (n int)")
	for n := range 4 {
		j.run(c, "INSERT INTO basket VALUES ($1)", int32(n+1))
	}
	sum := j.number(c, "SELECT CAST(sum(n) AS int) FROM basket")
	const exists = "SELECT CAST(to_regclass('basket') AS text)"
	var seen, left *string
	j.scan(other, exists, nil, &seen)
	j.run(c, "DROP TABLE basket")
	j.scan(c, exists, nil, &left)
	return []any{sum, seen, left}
}

func (j *journey) stepAdvisoryLock() any {
	c, other := j.connect(nil), j.connect(nil)
	j.run(c, "SELECT pg_advisory_lock(42)")
	var answers []bool
	for range 3 {
		j.number(c, "SELECT CAST($1 AS int)", int32(1))
		answers = append(answers, j.truth(other, "SELECT pg_try_advisory_lock(42)"))
	}
	return append(answers,
		j.truth(c, "SELECT pg_advisory_unlock(42)"),
		j.truth(other, "SELECT pg_try_advisory_lock(42)"),
		j.truth(other, "SELECT pg_advisory_unlock(42)"))
}

func (j *journey) stepCursor() any {
	c := j.connect(nil)
	j.begin(c)
	j.run(c, "DECLARE pages CURSOR FOR SELECT n FROM generate_series(1, 1000) AS n")
	count, sum := 0, int32(0)
	for range 10 {
		for _, n := range j.numbers(c, "FETCH 100 FROM pages") {
			count, sum = count+1, sum+n
		}
	}
	j.commit(c)
	return []any{count, sum}
}

func (j *journey) stepHeldCursor() any {
	c := j.connect(nil)
	j.begin(c)
	j.run(c, "DECLARE pages CURSOR WITH HOLD FOR SELECT n FROM generate_series(1, 300) AS n")
	j.commit(c)
	var pieces []int
	sum := int32(0)
	for range 3 {
		page := j.numbers(c, "FETCH 100 FROM pages")
		for _, n := range page {
			sum += n
		}
		pieces = append(pieces, len(page))
	}
	j.run(c, "CLOSE pages")
	return []any{pieces, sum}
}

func (j *journey) stepCopyIn() any {
	c := j.connect(nil)
	j.does("COPY", func() error { return c.copyIn(j.ctx, 500) })
	return []int32{j.number(c, "SELECT CAST(count(*) AS int) FROM parcel"), j.number(c, "SELECT CAST(sum(id) AS int) FROM parcel")}
}

func (j *journey) stepCopyOut() any {
	c := j.connect(nil)
	lines, sum := 0, 0
	j.does("COPY", func() error {
		text, err := c.copyOut(j.ctx, "COPY (SELECT n, 'title ' || n FROM generate_series(1, 300) AS n) TO STDOUT")
		for line := range strings.Lines(text) {
			var id int
			if _, err := fmt.Sscanf(line, "%d\t", &id); err != nil {
				return fmt.Errorf("the line %q: %w", line, err)
			}
			lines, sum = lines+1, sum+id
		}
		return err
	})
	return []int{lines, sum}
}

func (j *journey) stepListen() any {
	c, other := j.connect(nil), j.connect(nil)
	j.does("LISTEN", func() error { return c.listen(j.ctx, "news") })
	j.run(c, "NOTIFY news, 'own'")
	j.number(c, "SELECT CAST($1 AS int)", int32(1))
	j.begin(other)
	j.run(other, "NOTIFY news, 'other 1'")
	j.run(other, "SELECT pg_notify('news', 'other 2')")
	j.commit(other)
	var payloads []string
	for range 3 {
		j.does("waiting for a notification", func() error {
			ctx, cancel := context.WithTimeout(j.ctx, notifyPatience)
			defer cancel()
			payload, err := c.notified(ctx)
			payloads = append(payloads, payload)
			return err
		})
	}
	j.does("UNLISTEN", func() error { return c.unlisten(j.ctx, "news") })
	j.run(other, "NOTIFY news, 'late'")
	j.number(c, "SELECT CAST($1 AS int)", int32(1))
	j.does("not waiting for a notification", func() error {
		ctx, cancel := context.WithTimeout(j.ctx, time.Millisecond)
		defer cancel()
		if payload, err := c.notified(ctx); err == nil {
			payloads = append(payloads, payload)
		}
		return nil
	})
	return payloads
}

// notifyPatience is how long a notification may take.
const notifyPatience = 8 * time.Second

func (j *journey) stepError() any {
	c := j.connect(nil)
	answers := []any{
		j.refusal(c, "SELECT 1 / CAST($1 AS int)", int32(0)),
		j.refusal(c, "INSERT INTO books VALUES ($1, 'again')", int32(0)),
	}
	j.begin(c)
	_ = j.refusal(c, "SELECT 1 / CAST($1 AS int)", int32(0))
	answers = append(answers, j.refusal(c, "SELECT 1"))
	j.rollback(c)
	return append(answers, j.number(c, "SELECT CAST($1 AS int)", int32(7)))
}

func (j *journey) stepCancel() any {
	c, other := j.connect(nil), j.connect(nil)
	if j.err != nil {
		return nil
	}
	const sleep = "SELECT pg_sleep(10)"
	err := c.cancelled(j.ctx, sleep, func() error {
		for j.err == nil && !j.truth(other, "SELECT EXISTS (SELECT FROM pg_stat_activity WHERE wait_event = 'PgSleep' AND datname = current_database())") {
		}
		return j.err
	})
	code := j.code(sleep, err)
	return []any{code, j.number(c, "SELECT CAST($1 AS int)", int32(1))}
}

func (j *journey) stepChangedTable() any {
	c, other := j.connect(nil), j.connect(nil)
	read := func() ([]string, error) {
		return c.read(j.ctx, "SELECT * FROM shelf WHERE id = $1", []any{int32(1)}, func(scan func(...any) error) error { return nil })
	}
	var before, after []string
	for range repetitions {
		j.does("reading before", func() (err error) { before, err = read(); return err })
	}
	j.run(other, "ALTER TABLE shelf ADD COLUMN colour text DEFAULT 'red'")
	for j.err == nil {
		_, err := read()
		if err == nil {
			break
		}
		if j.code("reading after", err); j.retries == 2 {
			j.fail(err)
		}
		if j.retries++; j.retries == 2 {
			c = j.connect(nil)
		}
	}
	for range repetitions {
		j.does("reading after", func() (err error) { after, err = read(); return err })
	}
	return [][]string{before, after}
}

func (j *journey) stepClose() any {
	c, other := j.connect(nil), j.connect(nil)
	j.begin(c)
	j.run(c, "INSERT INTO books VALUES (77, 'unfinished')")
	j.closes(c)
	left := j.number(other, "SELECT CAST(count(*) AS int) FROM books WHERE id = 77")
	locking := j.connect(nil)
	j.run(locking, "SELECT pg_advisory_lock(77)")
	j.closes(locking)
	free := false
	for !free && j.err == nil {
		free = j.truth(other, "SELECT pg_try_advisory_lock(77)")
	}
	j.truth(other, "SELECT pg_advisory_unlock(77)")
	return []any{left, free}
}
