package main

import (
	"errors"
	"fmt"
	"os"
	"os/user"
	"strconv"
	"syscall"
)

// becomeUser gives up root's rights for those of a user: before anything is
// opened, so that what can be opened now can be opened again later, as at a
// reload. It does nothing for an empty name, or that of who we are.
func becomeUser(name string) error {
	if name == "" {
		return nil
	}
	u, err := user.Lookup(name)
	if _, unknown := errors.AsType[user.UnknownUserError](err); unknown {
		return fmt.Errorf("user: the system has no user %q", name)
	} else if err != nil {
		return fmt.Errorf("user: looking up %q: %w", name, err)
	}
	uid, err := strconv.Atoi(u.Uid)
	if err == nil && os.Geteuid() != 0 {
		if uid == os.Geteuid() {
			return nil
		}
		return fmt.Errorf("user: only root can become another user, such as %q", name)
	}
	gid, gidErr := strconv.Atoi(u.Gid)
	groups, groupsErr := u.GroupIds()
	if err := errors.Join(err, gidErr, groupsErr); err != nil {
		return fmt.Errorf("user: looking up %q: %w", name, err)
	}
	gids := []int{gid}
	for _, text := range groups {
		if id, err := strconv.Atoi(text); err == nil && id != gid {
			gids = append(gids, id)
		}
	}
	// The groups first: without root's rights they can't be changed.
	if err := syscall.Setgroups(gids); err != nil {
		return fmt.Errorf("user: the groups of %q: %w", name, err)
	}
	if err := syscall.Setgid(gid); err != nil {
		return fmt.Errorf("user: the group of %q: %w", name, err)
	}
	if err := syscall.Setuid(uid); err != nil {
		return fmt.Errorf("user: becoming %q: %w", name, err)
	}
	if uid != 0 && syscall.Setuid(0) == nil {
		return fmt.Errorf("user: having become %q we could become root again", name)
	}
	return nil
}
