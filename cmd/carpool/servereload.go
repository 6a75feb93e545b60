package main

import (
	"errors"
	"log/slog"

	"carpool/config"
	"carpool/proxy"
)

// reloading is what it takes to put another configuration in force.
type reloading struct {
	load  func() (*config.Config, error) // from where the first one came
	level slog.LevelVar                  // of the log
}

// reload reads the configuration anew, and logs what came of it.
func (r *reloading) reload(px *proxy.Proxy, log *slog.Logger) {
	next, err := r.load()
	if err != nil {
		refuseReload(err, log)
		return
	}
	done, err := px.Reload(next)
	if err != nil {
		refuseReload(err, log)
		return
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
	r.level.Set(logLevel(px.Config()))
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
