package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"sync"
	"time"

	"carpool/config"
	"carpool/proxy"
)

// reloadPatience is how long a reload may take before the log tells that one is
// still under way.
const reloadPatience = 10 * time.Second

// reloading is what it takes to put another configuration in force.
type reloading struct {
	load func() (*config.Config, error) // from where the first one came
	log  *serveLog                      // follows the configuration in force
	// asked has room for one: a reload that begins takes on everything that it
	// was asked for before.
	asked chan struct{}

	following sync.Mutex // held while the log is told of a configuration

	mu      sync.Mutex
	waiting []chan<- reloadOutcome // who wants to hear of the next reload; each has room for it
}

// reloadOutcome is what came of a reload.
type reloadOutcome struct {
	done proxy.Reloaded
	err  error
}

// reloadingFrom is how the configuration that a command line names is loaded
// again.
func (p *program) reloadingFrom(s *source, args []string, log *serveLog) *reloading {
	load := func() (*config.Config, error) {
		if err := regularFiles(p.configFile(args)); err != nil {
			return nil, err
		}
		if err := noEmptyFiles(p.configFile(args)); err != nil {
			return nil, err
		}
		c, err := p.load(s, args)
		if err != nil {
			return nil, err
		}
		if err := regularFiles(
			c.AuthFile, c.AuthHBAFile, c.AuthIdentFile, c.ClientTLS.KeyFile, c.ClientTLS.CertFile, c.ClientTLS.CAFile,
			c.ServerTLS.KeyFile, c.ServerTLS.CertFile, c.ServerTLS.CAFile,
		); err != nil {
			return nil, err
		}
		return c, nil
	}
	return &reloading{load: load, log: log, asked: make(chan struct{}, 1)}
}

// regularFiles is an error if one of the files that are there is something that
// reading may wait for, such as a named pipe. At the start that does no harm,
// and a shell's <(...) is one.
func regularFiles(names ...string) error {
	for _, name := range names {
		about, err := os.Stat(name)
		if err == nil && !about.Mode().IsRegular() && name != os.DevNull {
			return fmt.Errorf("%s isn't a regular file, and a reload reads no other", name)
		}
	}
	return nil
}

// noEmptyFiles is an error if one of the files is there and has nothing in it,
// as while somebody is writing it, or after a disk was full.
func noEmptyFiles(names ...string) error {
	for _, name := range names {
		about, err := os.Stat(name)
		if err == nil && about.Mode().IsRegular() && about.Size() == 0 {
			return fmt.Errorf("%s is empty, which is taken for a mishap", name)
		}
	}
	return nil
}

// ask asks for a reload, and doesn't wait for it.
func (r *reloading) ask() {
	select {
	case r.asked <- struct{}{}:
	default: // one is to come yet
	}
}

// now asks for a reload and waits for what comes of it. When ctx ends it doesn't
// wait any more; the reload goes on.
func (r *reloading) now(ctx context.Context) (proxy.Reloaded, error) {
	outcome := make(chan reloadOutcome, 1)
	r.mu.Lock()
	r.waiting = append(r.waiting, outcome)
	r.mu.Unlock()
	r.ask()
	select {
	case o := <-outcome:
		return o.done, o.err
	case <-ctx.Done():
		return proxy.Reloaded{}, context.Cause(ctx)
	}
}

// run reloads when it is asked to, one at a time, until ctx ends. What it reads
// may be on a file system that doesn't answer, so nobody waits for it.
func (r *reloading) run(ctx context.Context, px *proxy.Proxy, manager serviceManager) {
	for {
		select {
		case <-ctx.Done():
			return
		case <-r.asked:
		}
		slow := time.AfterFunc(reloadPatience, func() {
			r.log.log.Warn("reload: the configuration, or a file that it names, is still being read")
		})
		r.mu.Lock()
		waiting := r.waiting
		r.waiting = nil
		r.mu.Unlock()
		manager.reloading()
		done, err := r.reload(px)
		manager.reloaded()
		for _, w := range waiting {
			w <- reloadOutcome{done, err}
		}
		slow.Stop()
	}
}

// reload reads the configuration anew, and logs what came of it.
func (r *reloading) reload(px *proxy.Proxy) (proxy.Reloaded, error) {
	log := r.log.log
	r.log.file.reopen() // whatever comes of the rest: somebody may have moved it away
	next, err := r.load()
	var done proxy.Reloaded
	if err == nil {
		done, err = px.Reload(next)
	}
	if err != nil {
		refuseReload(err, log)
		return done, err
	}
	for _, change := range done.Applied {
		log.Info("reload: changed", "setting", change.Name, "old", change.Old, "new", change.New)
	}
	for _, name := range done.Files {
		log.Info("reload: a file holds something else than before", "file", name)
	}
	for _, change := range done.Restart {
		log.Warn("reload: a change needs a restart, the old value stays", "setting", change.Name, "old", change.Old, "new", change.New)
	}
	for _, warning := range next.Warnings() {
		log.Warn("reload: " + warning.String())
	}
	log.Info("reloaded", "changes", len(done.Applied), "need_restart", len(done.Restart), "files_changed", len(done.Files), "pools_replaced", done.Replaced)
	r.follow(px)
	return done, nil
}

// follow has the log do what the configuration in force says.
func (r *reloading) follow(px *proxy.Proxy) {
	r.following.Lock()
	defer r.following.Unlock()
	if err := r.log.configure(px.Config()); err != nil {
		r.log.log.Error("the log goes on where it went", "error", err)
	}
}

// refuseReload logs why the configuration stays as it was.
func refuseReload(err error, log *slog.Logger) {
	problems, ok := errors.AsType[config.Problems](err)
	if !ok {
		problems = config.Problems{{Message: err.Error()}}
	}
	for _, problem := range problems {
		log.Error("reload: " + problem.String())
	}
	log.Error("not reloaded: the configuration stays as it was", "problems", len(problems))
}
