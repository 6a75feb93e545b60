package startup

import (
	"fmt"
	"strings"

	"carpool/proxy/wire"
)

// protocolOption is how the names of protocol options begin; the rest of a
// start-up packet are run-time parameters.
const protocolOption = "_pq_."

// parseStartup reads the names and values of a StartupMessage, and returns the
// names of the protocol options too, none of which is known here. A fault is
// what the client is to be told instead.
func parseStartup(s string, ignoreOptions bool) (id Identity, unknown []string, fault *wire.Report) {
	own := make([]wire.Param, 0, 8)
	for {
		name, rest, ok := strings.Cut(s, "\x00")
		if ok && name == "" {
			if rest != "" {
				return id, nil, faultLayout()
			}
			break
		}
		value, rest, ok2 := strings.Cut(rest, "\x00")
		if !ok || !ok2 {
			return id, nil, faultLayout()
		}
		s = rest
		switch {
		case name == "user":
			id.User = truncate(value)
		case name == "database":
			id.Database = truncate(value)
		case name == "options":
			id.Options = value
		case name == "replication":
			if id.Replication, ok = parseReplication(value); !ok {
				return id, nil, faultf("22023", "invalid value for parameter \"replication\": \"%s\"", value)
			}
		case strings.HasPrefix(name, protocolOption):
			unknown = append(unknown, name)
		case len(own) == MaxParams:
			return id, nil, faultTooMany()
		default:
			own = append(own, wire.Param{Name: name, Value: value})
		}
	}
	if id.User == "" {
		return id, nil, &wire.Report{Code: "28000", Message: "no username supplied"}
	}
	if id.Database == "" {
		id.Database = id.User
	}
	id.Params, fault = mergeParams(id.Options, ignoreOptions, own)
	return id, unknown, fault
}

func faultLayout() *wire.Report {
	return &wire.Report{Code: "08P01", Message: "invalid startup packet layout: expected terminator as last byte"}
}

func faultTooMany() *wire.Report {
	return &wire.Report{Code: "54000", Message: fmt.Sprintf("more than %d startup parameters", MaxParams)}
}

// faultf is a fault that quotes something the client sent.
func faultf(code, format, quoted string) *wire.Report {
	return &wire.Report{Code: code, Message: fmt.Sprintf(format, printable(quoted))}
}

// mergeParams puts the parameters of the options string before the packet's
// own, which override them as in Postgres.
func mergeParams(options string, ignore bool, own []wire.Param) ([]wire.Param, *wire.Report) {
	var params []wire.Param
	if options != "" && !ignore {
		var fault *wire.Report
		if params, fault = parseOptions(options); fault != nil {
			return nil, fault
		}
	}
	if len(params)+len(own) > MaxParams {
		return nil, faultTooMany()
	}
	merged := make([]wire.Param, 0, len(params)+len(own))
	for _, list := range [][]wire.Param{params, own} {
		for _, p := range list {
			merged = set(merged, p)
		}
	}
	return merged, nil
}

// set replaces the parameter of the same name or appends p. The search is
// linear: MaxParams keeps it short.
func set(params []wire.Param, p wire.Param) []wire.Param {
	for i := range params {
		if len(params[i].Name) == len(p.Name) && strings.EqualFold(params[i].Name, p.Name) {
			params[i].Value = p.Value
			return params
		}
	}
	return append(params, p)
}

// truncate cuts a name as Postgres does, by bytes.
func truncate(name string) string { return name[:min(len(name), MaxName)] }

// parseReplication reads the value of "replication": "database", or a boolean
// in any of the spellings that Postgres has for it.
func parseReplication(v string) (r Replication, ok bool) {
	if v == "database" {
		return LogicalReplication, true
	}
	v = strings.ToLower(v)
	switch v {
	case "":
		return NoReplication, false
	case "0", "of", "off":
		return NoReplication, true
	case "1", "on":
		return PhysicalReplication, true
	}
	switch {
	case strings.HasPrefix("true", v), strings.HasPrefix("yes", v):
		return PhysicalReplication, true
	case strings.HasPrefix("false", v), strings.HasPrefix("no", v):
		return NoReplication, true
	}
	return NoReplication, false
}
