package worker

// Split shares a job out to so many processes, as evenly as it goes: clients, calls, rate and idle clients. A process that
// would have no client, or no call to make, isn't among them.
func Split(job Job, processes int) []Job {
	processes = max(1, min(processes, job.Clients))
	if job.Calls > 0 {
		processes = int(min(int64(processes), job.Calls))
	}
	jobs := make([]Job, processes)
	first := job.FirstClient
	for i := range jobs {
		part := job
		part.Clients = int(share(int64(job.Clients), processes, i))
		part.FirstClient = first
		part.IdleClients = int(share(int64(job.IdleClients), processes, i))
		part.Calls = share(job.Calls, processes, i)
		if job.Clients > 0 {
			part.Rate = job.Rate * float64(part.Clients) / float64(job.Clients)
		}
		first += part.Clients
		jobs[i] = part
	}
	return jobs
}

// share is part number i when total is divided in so many: the first ones have one more where it doesn't come out even.
func share(total int64, parts, i int) int64 {
	each, rest := total/int64(parts), total%int64(parts)
	if int64(i) < rest {
		return each + 1
	}
	return each
}

// Merge puts the results of processes that ran at the same time into one.
func Merge(results ...Result) Result {
	merged := Result{Errors: make(map[string]int64)}
	lists := make([][][2]int64, 0, len(results))
	examples := make([][]string, 0, len(results))
	for i, r := range results {
		merged.Elapsed = max(merged.Elapsed, r.Elapsed)
		merged.Calls += r.Calls
		merged.Connected += r.Connected
		merged.Idle += r.Idle
		for key, count := range r.Errors {
			merged.Errors[key] += count
		}
		merged.WrongAnswers += r.WrongAnswers
		merged.MixedTransactions += r.MixedTransactions
		merged.ProtocolErrors += r.ProtocolErrors
		if merged.FirstError == "" {
			merged.FirstError = r.FirstError
		}
		merged.Due += r.Due
		merged.Unstarted += r.Unstarted
		merged.CPU += r.CPU
		lists = append(lists, r.Latency)
		// Each list begins with one example of each kind: taken from different places, the first ones are of different kinds.
		if n := len(r.Examples); n > 0 {
			examples = append(examples, append(append([]string(nil), r.Examples[i%n:]...), r.Examples[:i%n]...))
		}
	}
	merged.Latency = mergePairs(lists...)
	merged.Examples = interleave(mostGroupSamples, examples...)
	return merged
}
