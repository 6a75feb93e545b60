package report

// Description is what a reader is told about a strategy.
type Description struct {
	Title   string // a few words
	Meaning string // a sentence or two for somebody who has never heard of pooling
	Unsafe  bool   // wrong answers are its nature
	// LectureSeconds is what 10,000 calls took in the lecture's table; 0: it has no such row.
	LectureSeconds float64
}

// Describe tells of the strategies that carpool bench knows. Of another, such as a pooler at an address, it says so.
func Describe(name string) Description {
	switch name {
	case "none":
		return Description{
			Title:          "connect for every call",
			Meaning:        "The program opens a connection to Postgres, asks, and closes it again, each time. It is always right, and most of the time goes into connecting.",
			LectureSeconds: 236.9,
		}
	case "global":
		return Description{
			Title:   "one connection for all, with a lock",
			Meaning: "Each process has one connection, and a lock lets one caller use it at a time. It is right, but the callers of a process wait for each other, and every process adds a connection.",
		}
	case "global-unsafe":
		return Description{
			Title:          "one connection for all, unguarded",
			Meaning:        "The same without the lock, as naive programs have it: two callers write at once and read each other's answers. It is fast and wrong.",
			Unsafe:         true,
			LectureSeconds: 3.2,
		}
	case "driver-pool":
		return Description{
			Title:          "a pool in each process",
			Meaning:        "The driver keeps a few open connections and lends them to the callers of its own process. Every process has its own pool, so the connections multiply with the processes.",
			LectureSeconds: 6.7,
		}
	case "direct":
		return Description{
			Title:   "a kept connection per client",
			Meaning: "Every client keeps a connection of its own to Postgres. No queue and nothing between, so it is the mark for speed; the server carries a process for each client.",
		}
	case "carpool-connect":
		return Description{
			Title:   "connect for every call, to carpool",
			Meaning: "The program is that of the first row, unchanged: it connects for each call. But it connects to carpool, which has open connections to Postgres already and shares them among all processes.",
		}
	case "carpool":
		return Description{
			Title:   "kept connections to carpool",
			Meaning: "Every client keeps a connection to carpool, which lends it a connection to Postgres for each transaction. Many clients share few server connections.",
		}
	case "carpool-session":
		return Description{
			Title:   "carpool in session mode",
			Meaning: "A client of carpool holds a server connection for as long as it stays connected. Everything works as without a pooler, and costs as many server connections: here the pool is as large as there are clients.",
		}
	}
	return describeOthers(name)
}

// describeOthers tells of strategies that come from elsewhere: other poolers, and the lecture's programs.
func describeOthers(name string) Description {
	switch name {
	case "pgbouncer":
		return Description{
			Title:   "kept connections to pgbouncer",
			Meaning: "The same through PgBouncer, the classic pooler, with equal settings.",
		}
	case "pgbench":
		return Description{
			Title:   "pgbench, a kept connection per client",
			Meaning: "The same calls made by Postgres' own load generator: what the numbers of this one can be checked against.",
		}
	case "pgbouncer-connect":
		return Description{
			Title:   "connect for every call, to pgbouncer",
			Meaning: "The program connects for each call, to PgBouncer.",
		}
	case "python-psycopg2-none":
		return Description{
			Title:          "Python (psycopg2) connects each time",
			Meaning:        "The lecture's own Python program with psycopg2, connecting for each call.",
			LectureSeconds: 236.9,
		}
	case "python-psycopg2-global":
		return Description{
			Title:          "Python (psycopg2), one connection",
			Meaning:        "The lecture's program with one global psycopg2 connection for a process, and a lock around each call.",
			LectureSeconds: 3.2,
		}
	case "python-psycopg2-global-unsafe":
		return Description{
			Title:          "Python: one connection for all, unguarded",
			Meaning:        "The same without a lock. psycopg2 itself keeps answers apart, so each is right; but all threads share one transaction, and each ends it for the others.",
			Unsafe:         true,
			LectureSeconds: 3.2,
		}
	case "python-psycopg2-pool":
		return Description{
			Title:          "Python (psycopg2), its own pool",
			Meaning:        "The lecture's program with the pool of psycopg2, one in each process.",
			LectureSeconds: 6.7,
		}
	case "python-sqlalchemy-pool":
		return Description{
			Title:          "Python (SQLAlchemy), its own pool",
			Meaning:        "The lecture's program with the pool of SQLAlchemy, one in each process.",
			LectureSeconds: 12.2,
		}
	case "python-carpool-connect":
		return Description{
			Title:   "Python (psycopg2) connects to carpool",
			Meaning: "The lecture's program, connecting for each call, to carpool instead of Postgres.",
		}
	}
	return Description{Title: name, Meaning: "Every client keeps a connection to the pooler at the address that was given."}
}

// title is the strategy's own, or what is known of its name.
func (s Strategy) title() string {
	if s.Title != "" {
		return s.Title
	}
	return Describe(s.Name).Title
}

// label is the name with the title, so that a reader of the table finds what sentences call by its name.
func (s Strategy) label() string {
	name, title := printable(s.Name), printable(s.title())
	if name == title {
		return name
	}
	return name + ": " + title
}
