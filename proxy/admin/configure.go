package admin

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"carpool/config"
	"carpool/proxy"
	"carpool/proxy/wire"
)

// Orders is what the process does for its console that the proxy can't do by
// itself.
type Orders struct {
	// Reload reads the configuration anew, and puts it in force or says what is
	// wrong with it. It blocks. nil: RELOAD isn't possible.
	Reload func(context.Context) (proxy.Reloaded, error)
	// Changed is called after a SET, to look at what the proxy doesn't. nil:
	// nobody does.
	Changed func(*config.Config)
}

// SetOrders gives the console its orders. It is called before Run.
func (c *Console) SetOrders(o Orders) { c.orders = o }

// variable is a parameter of Postgres's that drivers ask for, or set, whomever
// they talk to.
type variable struct{ name, value string }

var variables = [...]variable{
	{"client_encoding", "UTF8"},
	{"default_transaction_isolation", "read committed"},
	{"standard_conforming_strings", "on"},
	{"datestyle", "ISO"},
	{"timezone", "GMT"},
	{"application_name", ""},
	{"extra_float_digits", "1"},
}

func findVariable(name string) (variable, bool) {
	for _, v := range variables {
		if strings.EqualFold(v.name, name) {
			return v, true
		}
	}
	return variable{}, false
}

// set changes a setting until the next reload. Drivers' variables are accepted
// from everybody, and nothing is done with them.
func (s *session) set(st statement) result {
	if _, ok := findVariable(st.arg); ok {
		return done("SET", notice("SET ignored"))
	}
	if !s.admin {
		return failed(adminNeeded())
	}
	name := strings.ToLower(st.arg)
	at := slices.IndexFunc(config.Settings(), func(known config.Setting) bool {
		return known.Name == name || slices.Contains(known.Aliases, name)
	})
	if at < 0 {
		return failed(noSetting(st.arg))
	}
	c := s.console
	wasAdmin := slices.Contains(c.proxy.Config().AdminUsers, s.user)
	changed, err := c.proxy.Set(name, st.value)
	var failure wire.Report
	switch {
	case errors.Is(err, proxy.ErrNoAdmin):
		failure = errorReport(codeState, err.Error())
		failure.Hint = "Put it in the configuration file and RELOAD, if that is what is wanted."
	case err != nil:
		failure = errorReport(codeValue, printable(err.Error()))
	case len(changed.Restart) > 0:
		failure = errorReport(codeState, fmt.Sprintf("%s can't be changed without a restart", name))
	}
	if failure.Code != "" {
		// Without the value: it may be anything, such as a password in the wrong place.
		s.log.Info("SET command wasn't carried out", "setting", name, "sqlstate", failure.Code)
		return failed(failure)
	}
	for _, change := range changed.Applied {
		s.log.Info("SET command issued", "setting", change.Name, "old", change.Old, "new", change.New)
	}
	if c.orders.Changed != nil {
		c.orders.Changed(c.proxy.Config())
	}
	r := done("SET")
	if !config.Settings()[at].Effective {
		r.notices = append(r.notices, notice(name+" has no effect in carpool"))
	}
	if wasAdmin && !slices.Contains(c.proxy.Config().AdminUsers, s.user) {
		r.notices = append(r.notices, notice("you aren't in admin_users any more: you may give orders until you leave, and not when you come back"))
	}
	return r
}

// reload reads the configuration anew.
func (s *session) reload(ctx context.Context, st statement) result {
	if st.args > 0 {
		return failed(invalidCommand(st.text))
	}
	reload := s.console.orders.Reload
	if reload == nil {
		return failed(errorReport(codeNotSupported, "RELOAD isn't possible: there is nothing to be read anew"))
	}
	changed, err := reload(ctx)
	if err != nil {
		return failed(reloadReport(ctx, err))
	}
	r := done("RELOAD")
	for _, change := range changed.Restart {
		n := notice(fmt.Sprintf("%s needs a restart: it stays as it was", printable(change.Name)))
		r.notices = append(r.notices, n)
	}
	return r
}

// maxDetail bounds what is told of a configuration that isn't good, in bytes.
const maxDetail = 2000

func reloadReport(ctx context.Context, err error) wire.Report {
	if ctx.Err() != nil {
		r := errorReport(codeCanceled, "canceling statement due to user request")
		r.Detail = "The reload goes on."
		return r
	}
	r := errorReport(codeConfig, "RELOAD failed, the configuration stays as it was")
	lines := []string{err.Error()}
	if problems, ok := errors.AsType[config.Problems](err); ok {
		lines = nil
		for _, problem := range problems {
			lines = append(lines, problem.String())
		}
	}
	for i := range lines {
		lines[i] = printableUpTo(lines[i], maxDetail)
	}
	r.Detail = strings.Join(lines, "\n")
	if len(r.Detail) > maxDetail {
		r.Detail = strings.ToValidUTF8(r.Detail[:maxDetail], "") + "..."
	}
	return r
}
