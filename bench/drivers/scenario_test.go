package drivers

import (
	"crypto/md5"
	"encoding/json"
	"fmt"
	"strings"
)

// step is one row of the matrix: something that applications do.
type step struct {
	name string
	what string // in the words of docs/compatibility.md
	want string // JSON, the same for every driver
}

// steps are in the order in which they are done. Each is done with connections of its own, and every query that the text
// doesn't put into a transaction is one by itself, so that the server may be another one each time.
var steps = []step{
	{
		"connect", "start-up parameters: `application_name`, and `statement_timeout` and `search_path` as options",
		`[["shelf", "31s", "one"]]`,
	},
	{"simple", "queries without parameters", `[1, 2, 3]`},
	{"parameters", "the same query with parameters, 20 times, so that it is prepared", `[420, "book 20"]`},
	{"large", "parameters and results of 2 kB and 200 kB", large()},
	{
		"types", "NULL, array, JSON, bytea, timestamptz and numeric, both ways",
		`[[null, [1, 2, 3], {"a": [1, null, "é"]}, "0001ff5c", 1700000000, "naïve", "12.50"]]`,
	},
	{"concurrent", "four workers at once on the driver's own pool, each with its own `application_name`", `[20, 20, 20, 20]`},
	{"batch", "the driver's way to send many rows", `[50, 1275]`},
	{"transaction", "COMMIT, ROLLBACK, SAVEPOINT", `["kept", "before", "after"]`},
	{
		"set", "SET of `search_path`, time zone, `statement_timeout`, `application_name`, and a prepared query before and after it",
		`[["public"], [["two", "Asia/Kolkata", "41s", "reader", "two"]]]`,
	},
	{"set in a transaction", "SET that is rolled back, that is committed, and behind a savepoint", `["0", "52s", "53s"]`},
	{"set local", "SET LOCAL, and set_config()", `["61s", "0", "Asia/Tokyo"]`},
	{"reset", "RESET and RESET ALL, to what the start-up packet said", `["two", "one", "31s"]`},
	{"role", "SET ROLE, RESET ROLE", `["reader", "app"]`},
	{"prepare", "PREPARE, EXECUTE and DEALLOCATE in SQL", `[12, 12, 12, "26000"]`},
	{"temporary table", "a temporary table over several transactions, that nobody else sees", `[10, null, null]`},
	{"advisory lock", "a session's advisory lock over several transactions", `[false, false, false, true, true, true]`},
	{"cursor", "a server-side cursor, by the driver's means where it has some", `[1000, 500500]`},
	{"held cursor", "a cursor WITH HOLD, read in several transactions", `[[100, 100, 100], 45150]`},
	{"copy in", "COPY FROM STDIN", `[500, 125250]`},
	{"copy out", "COPY TO STDOUT", `[300, 45150]`},
	{"listen", "LISTEN, NOTIFY and UNLISTEN", `["own", "other 1", "other 2"]`},
	{"error", "going on after an error, also in a transaction", `["22012", "23505", "25P02", 7]`},
	{"cancel", "cancelling a query by the driver's means", `["57014", 1]`},
	{
		"changed table", "ALTER TABLE between two runs of a prepared query",
		`[["id", "title"], ["id", "title", "colour"]]`,
	},
	{"close", "leaving in a transaction, and with an advisory lock", `[0, true]`},
	{"migrate", "two migrations under a session's advisory lock", `["0001_first", "0002_second", "second"]`},
	{"migrate at once", "the same from two processes at once", `["0001_first", "0002_second", 1]`},
	{"migrate back", "and back again", `[null]`},
}

// migration are the steps of those that migrate, and of nobody else.
var migration = []string{"migrate", "migrate at once", "migrate back"}

// large is the answer to a text of 2 kB and one of 200 kB: its characters, its sum, and whether it came back as it was.
func large() string {
	var answers []string
	for _, times := range []int{340, 34000} {
		text := strings.Repeat("aé€", times)
		answers = append(answers, fmt.Sprintf(`[%d, "%x", true, %d]`, 3*times, md5.Sum([]byte(text)), 6*times))
	}
	return "[" + strings.Join(answers, ", ") + "]"
}

// outcome is what came of one step, a line of a program's output.
type outcome struct {
	Step   string          `json:"step"`
	Result json.RawMessage `json:"result,omitempty"`
	// Retries is how often the driver's error was met by trying again, where that is what applications do. Through carpool
	// there may be fewer than directly, not more.
	Retries int    `json:"retries,omitempty"`
	Error   string `json:"error,omitempty"` // empty: there is a result
}
