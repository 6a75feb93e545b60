package pool

import "testing"

func TestLedger(t *testing.T) {
	for name, text := range map[string]string{
		"hand-off goes to the oldest waiter": `
			pool p size=1
			ask a@p -> wait, dial p
			ask b@p -> wait
			ask c@p -> wait
			dialed p -> a=1
			give a -> b=1
			ask a@p -> wait
			give b -> c=1
			give c -> a=1
			give a ->`,
		"a withdrawn ticket is passed over": `
			pool p size=1
			ask a@p -> wait, dial p
			ask b@p -> wait
			ask c@p -> wait
			leave b -> gone
			leave b ->
			dialed p -> a=1
			give a -> c=1
			leave c ->`,
		"a value dialed for one who left lies idle": `
			pool p size=2
			ask a@p -> wait, dial p
			leave a -> gone
			ask b@p -> wait
			dialed p -> b=1
			give b ->
			ask a@p -> a=1`,
		"a released value overtakes the dial, which then serves the next": `
			pool p size=2
			ask a@p -> wait, dial p
			dialed p -> a=1
			ask b@p -> wait, dial p
			ask c@p -> wait
			give a -> b=1
			dialed p -> c=2`,
		"idle values are reused last in, first out": `
			pool p size=3
			ask a@p -> wait, dial p
			ask b@p -> wait, dial p
			dialed p -> a=1
			dialed p -> b=2
			give a ->
			give b ->
			ask c@p -> c=2
			give c ->
			ask c@p -> c=2`,
		"or round robin": `
			pool p size=3 roundrobin
			ask a@p -> wait, dial p
			ask b@p -> wait, dial p
			dialed p -> a=1
			dialed p -> b=2
			give a ->
			give b ->
			ask c@p -> c=1
			give c ->
			ask c@p -> c=2`,
		"the same home is preferred": `
			pool p size=3
			ask a@p home=1 -> wait, dial p
			ask b@p home=2 -> wait, dial p
			dialed p -> a=1
			dialed p -> b=2
			give a ->
			give b ->
			ask c@p home=1 -> c=1
			ask d@p home=7 -> d=2`,
		"a ticket that comes again keeps its place": `
			pool p size=2
			ask a@p -> wait, dial p
			dialed p -> a=1
			ask b@p -> wait, dial p
			dialed p -> b=2
			ask c@p -> wait
			ask d@p -> wait
			drop a -> close 1 broken, dial p
			again a@p -> wait
			give b -> a=2
			dialed p -> c=3
			give a -> d=2`,
		"dials run in parallel, no more than allowed": `
			pool p dials=2
			ask a@p -> wait, dial p
			ask b@p -> wait, dial p
			ask c@p -> wait
			dialed p -> a=1, dial p
			dialed p -> b=2
			dialed p -> c=3`,
		"variants aren't interchangeable": `
			pool p size=2
			ask a@p/1 -> wait, dial p/1
			dialed p -> a=1
			give a ->
			ask b@p -> wait, dial p
			dialed p -> b=2
			give b ->
			# both places taken: the one idle longest makes room
			ask c@p/2 -> wait, close 1 evicted, dial p/2
			dialed p -> c=3
			ask d@p/2 -> wait, close 2 evicted, dial p/2`,
		"a waiter of another variant is overtaken for a while only": `
			pool p size=1
			ask a@p -> wait, dial p
			dialed p -> a=1
			ask w@p/1 -> wait
			ask b@p -> wait
			at 10ms ->
			give a -> b=1
			ask c@p -> wait
			at 60ms ->
			give b -> close 1 evicted, dial p/1
			dialed p -> w=2
			ask d@p -> wait
			give w -> close 2 evicted, dial p
			dialed p -> c=3
			give c -> d=3`,
		"a release serves another variant at once if nobody of its own waits": `
			pool p size=1
			ask a@p -> wait, dial p
			dialed p -> a=1
			ask w@p/1 -> wait
			give a -> close 1 evicted, dial p/1
			dialed p -> w=2`,
		"the reserve opens when the oldest waiter has waited": `
			pool p size=1 reserve=1
			ask a@p -> wait, dial p
			dialed p -> a=1
			ask b@p -> wait
			at 2s ->
			ask c@p -> wait
			at 4999ms ->
			at 5s -> dial p
			dialed p -> b=2
			at 7s ->
			give a -> c=1`,
		"an idle value of another pool makes room under a shared limit": `
			quota db 2
			pool p quota=db
			pool q quota=db
			ask a@p -> wait, dial p
			ask b@p -> wait, dial p
			dialed p -> a=1
			dialed p -> b=2
			give a ->
			at 1s ->
			give b ->
			ask c@q -> wait, close 1 evicted, dial q
			dialed q -> c=3
			ask d@q -> wait, close 2 evicted, dial q
			dialed q -> d=4
			ask e@q -> wait
			give c -> e=3`,
		"pools above their minimum give up values first": `
			quota db 3
			pool p quota=db min=1 warm -> dial p
			dialed p ->
			at 1s ->
			pool q quota=db
			pool r quota=db
			ask a@q -> wait, dial q
			ask b@q -> wait, dial q
			dialed q -> a=2
			dialed q -> b=3
			give a ->
			ask c@r -> wait, close 2 evicted, dial r
			dialed r -> c=4
			ask d@r -> wait, close 1 evicted, dial r`,
		"a value released goes to a pool that starves": `
			quota db 1
			pool p quota=db
			pool q quota=db
			ask a@p -> wait, dial p
			dialed p -> a=1
			ask w@q -> wait
			ask b@p -> wait
			at 999ms ->
			ask c@p -> wait
			give a -> b=1
			# w came before c, but not by as much as the slack
			give b -> c=1
			at 1s ->
			ask d@p -> wait
			at 2s ->
			ask e@p -> wait
			give c -> close 1 evicted, dial q
			dialed q -> w=2
			give w -> close 2 evicted, dial p
			dialed p -> d=3
			give d -> e=3`,
		"two limits in the way need two victims, or one under both": `
			quota db 2
			quota user 1
			pool p quota=db
			pool q quota=user
			pool r quota=db,user
			ask a@p -> wait, dial p
			ask b@p -> wait, dial p
			ask c@q -> wait, dial q
			dialed p -> a=1
			dialed p -> b=2
			dialed q -> c=3
			give a ->
			ask d@r -> wait
			give c -> close 1 evicted, close 3 evicted, dial r
			dialed r -> d=4
			give d ->
			ask e@q -> wait, close 4 evicted, dial q`,
		"room left by a dead value goes to the oldest waiter of all": `
			quota db 1
			pool p quota=db
			pool q quota=db
			ask a@p -> wait, dial p
			dialed p -> a=1
			ask w@q -> wait
			ask b@p -> wait
			drop a -> close 1 broken, dial q`,
		"a fatal answer reaches all waiters of the variant at once": `
			pool p size=2
			ask a@p -> wait, dial p
			ask b@p -> wait, dial p
			ask c@p -> wait
			ask d@p/1 -> wait
			failed p fatal-password -> a!fatal-password, b!fatal-password, c!fatal-password, dial p/1
			dialed p ->
			dialed p -> d=2
			ask a@p -> a=1`,
		"a failing host is tried again, ever more seldom": `
			pool p size=4
			ask a@p -> wait, dial p
			failed p refused ->
			at 99ms ->
			ask b@p -> wait
			at 126ms -> dial p
			failed p refused ->
			at 300ms ->
			at 400ms -> dial p
			# it answers: everyone may dial again
			dialed p -> a=1, dial p`,
		"while the host fails, waiters are served by releases": `
			pool p size=2
			ask a@p -> wait, dial p
			dialed p -> a=1
			ask b@p -> wait, dial p
			failed p toomany ->
			give a -> b=1`,
		"after failing for too long, nobody waits without hope": `
			pool p size=4
			ask a@p -> wait, dial p
			failed p refused ->
			at 14s -> dial p
			failed p refused ->
			at 14900ms -> dial p
			failed p refused ->
			at 15s -> a!refused
			ask b@p -> refused refused
			at 20s ->
			ask c@p -> wait, dial p
			ask d@p -> wait
			failed p timeout -> c!timeout, d!timeout
			ask e@p -> refused timeout
			at 21s ->
			ask f@p -> wait, dial p
			dialed p -> f=1
			ask g@p -> wait, dial p`,
		"a host that fails for one pool can't keep another from trying": `
			pool p size=4 host=h
			pool q size=4 host=h
			ask a@p -> wait, dial p
			ask b@q -> wait, dial q
			failed p toomany ->
			failed q refused ->
			at 200ms -> dial p
			failed p toomany ->
			at 500ms -> dial q
			dialed q -> b=1, dial p`,
		"MinSize is kept while somebody is attached": `
			pool p size=4 min=2 idle=10
			attach p -> dial p, dial p
			dialed p ->
			dialed p ->
			at 20s ->
			lose p 1 -> close 1 lost while idle, dial p
			dialed p ->
			detach p ->
			at 30s -> close 2 idle timeout, close 3 idle timeout`,
		"idle values above MinSize end": `
			pool p size=4 min=1 idle=10 warm -> dial p
			dialed p ->
			ask a@p -> a=1
			ask b@p -> wait, dial p
			dialed p -> b=2
			at 1s ->
			give a ->
			at 2s ->
			give b ->
			at 11s -> close 1 idle timeout
			at 60s ->`,
		"a wrong password doesn't make MinSize dial on and on": `
			pool p min=1 warm -> dial p
			failed p fatal ->
			at 1s ->
			at 15s -> dial p`,
		"lifetime ends values at their release or when idle": `
			pool p size=2 lifetime=100
			ask a@p -> wait, dial p
			ask b@p -> wait, dial p
			dialed p -> a=1
			dialed p -> b=2
			at 1s ->
			give a ->
			at 79s ->
			at 100s -> close 1 lifetime over
			give b -> close 2 lifetime over`,
		"retired values end, within the limit": `
			pool p size=2
			ask a@p -> wait, dial p
			ask b@p -> wait, dial p
			dialed p -> a=1
			dialed p -> b=2
			ask c@p -> wait
			give b -> c=2
			give a ->
			ask d@p -> d=1
			ask e@p -> wait
			retire p ->
			give d -> close 1 retired, dial p
			retire p -> cancel p
			give c -> close 2 retired, dial p
			dialed p -> close 3 retired
			dialed p -> e=4`,
		"replaced settings: nothing that was opened before is lent again": `
			pool p size=2
			ask a@p -> wait, dial p
			ask b@p -> wait, dial p
			dialed p -> a=1
			dialed p -> b=2
			give b ->
			ask c@p -> c=2
			give a ->
			replace p size=2 -> close 1 retired
			ask d@p -> wait, dial p
			ask e@p -> wait
			dialed p -> d=3
			give c -> close 2 retired, dial p
			dialed p -> e=4
			give e ->
			ask f@p -> f=4`,
		"replaced settings: dials under way are begun anew, within the new limit": `
			pool p size=2
			ask a@p -> wait, dial p
			ask b@p -> wait, dial p
			replace p size=1 -> cancel p, cancel p
			dialed p -> close 1 retired
			failed p canceled -> dial p
			dialed p -> a=2
			give a -> b=2`,
		"replaced settings are tried at once, whatever failed before": `
			pool p size=2
			ask a@p -> wait, dial p
			failed p refused ->
			replace p size=2 -> dial p
			dialed p -> a=1`,
		"a paused pool lends nothing": `
			pool p size=2
			ask a@p -> wait, dial p
			dialed p -> a=1
			ask b@p -> wait, dial p
			pause p -> cancel p
			failed p canceled ->
			ask c@p -> wait
			give a -> close 1 paused
			at 20s ->
			resume p -> dial p, dial p
			dialed p -> b=2`,
		"a removed pool fails its waiters and forgets itself": `
			quota db 2
			pool p quota=db
			pool q quota=db
			ask a@p -> wait, dial p
			dialed p -> a=1
			ask b@p -> wait, dial p
			ask c@p -> wait
			ask d@q -> wait
			remove p -> b!pool is removed, c!pool is removed, cancel p
			ask c@p -> refused pool is removed
			dialed p -> close 2 pool removed, dial q
			give a -> close 1 pool removed
			ask e@q -> wait, dial q`,
		"a shut down registry": `
			pool p size=2
			ask a@p -> wait, dial p
			dialed p -> a=1
			ask b@p -> wait, dial p
			shutdown -> b!pool registry is shut down, cancel p
			ask b@p -> refused pool registry is shut down
			failed p canceled ->
			give a -> close 1 shutdown`,
		"a smaller size": `
			pool p size=3
			ask a@p -> wait, dial p
			ask b@p -> wait, dial p
			ask c@p -> wait, dial p
			dialed p -> a=1
			dialed p -> b=2
			dialed p -> c=3
			give a ->
			set p size=1 -> close 1 limit lowered
			ask d@p -> wait
			give b -> close 2 limit lowered
			give c -> d=3
			ask e@p -> wait
			set p size=2 -> dial p`,
		"a smaller shared limit": `
			quota db 3
			pool p quota=db
			pool q quota=db
			ask a@p -> wait, dial p
			ask b@p -> wait, dial p
			ask c@q -> wait, dial q
			dialed p -> a=1
			dialed p -> b=2
			dialed q -> c=3
			give a ->
			limit db 1 -> close 1 limit lowered
			ask d@q -> wait
			give b -> close 2 limit lowered
			give c -> d=3
			ask e@p -> wait
			limit db 0 -> dial p`,
		"a pool that leaves a quota makes room under it": `
			quota db 1
			pool p quota=db
			pool q quota=db
			ask a@p -> wait, dial p
			dialed p -> a=1
			ask b@q -> wait
			quota other 5
			set p quota=other -> dial q`,
	} {
		t.Run(name, func(t *testing.T) { runScript(t, text) })
	}
}
