package main

import (
	"context"
	"time"

	"carpool/proxy"

	"golang.org/x/sys/unix"
)

// watchInterval is how often it is looked whether files have changed. A change
// counts when nothing has changed since the last look.
const watchInterval = 500 * time.Millisecond

// fileState tells whether a name still leads to the same file, unchanged. The
// zero value is that of a file that can't be looked at.
type fileState struct {
	device, inode     uint64
	size              int64
	modified, changed int64 // in nanoseconds since 1970
}

// fileStates looks at files, through links to where they lead now.
func fileStates(names []string) map[string]fileState {
	states := make(map[string]fileState, len(names))
	for _, name := range names {
		var st unix.Stat_t
		if err := unix.Stat(name, &st); err != nil {
			states[name] = fileState{}
			continue
		}
		states[name] = fileState{uint64(st.Dev), uint64(st.Ino), int64(st.Size), st.Mtim.Nano(), st.Ctim.Nano()}
	}
	return states
}

// watch has the proxy take on what the files hold that its configuration names,
// whenever they change, until ctx ends. It asks the file system, which works
// where the kernel tells nothing of changes, as with network file systems, and
// through any chain of links. It may block in the file system, so nobody waits
// for it.
func (r *reloading) watch(ctx context.Context, px *proxy.Proxy) {
	ticker := time.NewTicker(watchInterval)
	defer ticker.Stop()
	var w watcher
	for {
		select {
		case <-ctx.Done():
			return
		case <-ticker.C:
		}
		if names := px.Files(); px.Config().WatchFiles && w.due(names, fileStates(names)) {
			r.refresh(px, names)
		}
	}
}

// watcher compares what was seen of files.
type watcher struct {
	handled map[string]fileState // when they were last read
	last    map[string]fileState // at the last look
}

// due reports whether files are to be read: they aren't as they were when they
// were last read, nor are they being written. The first look is due, too: they
// may have changed since the start.
func (w *watcher) due(names []string, seen map[string]fileState) bool {
	settled := w.last != nil
	changed := false
	for _, name := range names {
		if w.last[name] != seen[name] {
			settled = false
		}
		if was, known := w.handled[name]; !known || was != seen[name] {
			changed = true
		}
	}
	w.last = seen
	if !changed || !settled {
		return false
	}
	w.handled = seen
	return true
}

// refresh has the proxy read its files, and logs what came of it.
func (r *reloading) refresh(px *proxy.Proxy, names []string) {
	log := r.log.log
	var done proxy.Reloaded
	err := regularFiles(names...)
	if err == nil {
		err = noEmptyFiles(names...)
	}
	if err == nil {
		done, err = px.Refresh()
	}
	if err != nil {
		refuseReload(err, log)
		return
	}
	for _, name := range done.Files {
		log.Info("watch: a file holds something else than before", "file", name)
	}
	if len(done.Files) > 0 {
		log.Info("files taken on", "files_changed", len(done.Files), "pools_replaced", done.Replaced)
	}
}
