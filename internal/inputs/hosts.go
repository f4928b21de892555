package inputs

import (
	"errors"
	"fmt"
	"net/netip"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"github.com/clothesme/deploy-action/remote"
)

var (
	// useradd's default pattern, and the dot that --badname and directories add
	userName = regexp.MustCompile(`^[a-z_][a-z0-9_.-]{0,31}$`)
	dnsLabel = regexp.MustCompile(`^[A-Za-z0-9_]([A-Za-z0-9_-]{0,61}[A-Za-z0-9_])?$`)
)

func setHost(p *parser, value string) error {
	list := items(value)
	if value == "" && p.values["instances"] != "" {
		return nil
	}
	if value == "" {
		return errors.New(`is required, or the input "instances": write the address of the host, such as "203.0.113.7" or ` +
			`"ubuntu@web.example.com:22" (a variable or secret that does not exist is empty)`)
	}
	if len(list) == 0 {
		return fmt.Errorf("must be [user@]host[:port], or several of these %s", got(value))
	}
	port, _ := parsePort(p.values["port"]) // its fault is reported where it belongs
	for _, item := range list {
		host, err := parseHost(item, p.values["username"], port)
		if err != nil {
			return fmt.Errorf("%w %s", err, gotItem(value, item))
		}
		if err = byID(&host); err != nil {
			return fmt.Errorf("%w %s", err, gotItem(value, item))
		}
		if slices.ContainsFunc(p.in.Hosts, func(o remote.Host) bool {
			return o == host || o.Alias != "" && o.Alias == host.Alias
		}) {
			return fmt.Errorf("names %s twice: a host is deployed to once %s", host, gotItem(value, item))
		}
		p.in.Hosts = append(p.in.Hosts, host)
		if host.Alias != "" {
			p.in.Instances = append(p.in.Instances, Instances{Text: host.Alias, ID: host.Alias})
		}
	}
	return nil
}

// looksLikeID is what nobody calls a host but EC2, whole or not.
var looksLikeID = regexp.MustCompile(`^i-[0-9A-Fa-f]{8,}$`)

// byID has a host that is named by the id of an instance found by it: until Found it has no address, and
// that id in the place of its name.
func byID(host *remote.Host) error {
	switch {
	case instanceID.MatchString(host.Name):
		host.Alias = host.Name
	case looksLikeID.MatchString(host.Name):
		return errors.New("must have an instance's id as AWS writes it: i- and 17 of 0-9 and a-f, or 8 for an old one")
	}
	return nil
}

// isByName tells whether a host is named by what it is dialled by.
func isByName(host remote.Host) bool { return host.Alias == "" }

// On says on which hosts a command runs.
type On string

// The hosts of a command.
const (
	OnFirst On = "first" // one that gets the new release, the first of these
	OnAll   On = "all"   // that get it
)

func on(field func(*Inputs) *On) func(*parser, string) error {
	return func(p *parser, value string) error {
		*field(p.in) = On(value)
		if value != string(OnFirst) && value != string(OnAll) {
			return fmt.Errorf("must be \"first\" or \"all\" %s", got(value))
		}
		return nil
	}
}

func setUsername(p *parser, value string) error {
	if !userName.MatchString(value) {
		return fmt.Errorf("must be a login name of at most 32 of a-z, 0-9, . _ and -, not beginning with a digit or "+
			"- %s", got(value))
	}
	p.in.Username = value
	return nil
}

func setPort(p *parser, value string) (err error) {
	p.in.Port, err = parsePort(value)
	return err
}

// all are the hosts with one in the place of those that are yet to be found.
func (p *parser) all() []remote.Host {
	if p.values["instances"] == "" {
		return p.in.Hosts
	}
	return append(slices.Clone(p.in.Hosts), remote.Host{
		User: p.in.Username, Name: `what "instances" finds`, Port: p.in.Port,
	})
}

// count checks what depends on how many hosts there are, where they are known.
func (p *parser) count() {
	if len(p.in.Instances) > 0 || len(p.in.Hosts) == 0 || !p.good("host") || !p.good("instances") {
		return
	}
	var errs Errors
	if errors.As(p.in.Found(nil), &errs) {
		for _, err := range errs {
			var f *Fault
			if errors.As(err, &f) && p.good(f.Input) {
				p.faults[f.Input] = append(p.faults[f.Input], f)
			}
		}
	}
}

func parsePort(value string) (uint16, error) {
	n, err := strconv.ParseUint(value, 10, 16)
	if err != nil || n == 0 {
		return 0, fmt.Errorf("must be a port from 1 to 65535 %s", got(value))
	}
	return uint16(n), nil
}

// parseHost reads [user@]host[:port]; user and port are for a text that does not say.
func parseHost(value, user string, port uint16) (remote.Host, error) {
	if strings.Contains(value, "://") {
		return remote.Host{}, errors.New("must be [user@]host[:port], without a scheme such as ssh://")
	}
	host := remote.Host{User: user, Name: value, Port: port}
	if i := strings.LastIndex(value, "@"); i >= 0 {
		host.User, host.Name = value[:i], value[i+1:]
		if !userName.MatchString(host.User) {
			return remote.Host{},
				errors.New("must have a login name before the @, of at most 32 of a-z, 0-9, . _ and -")
		}
	}
	name, after, err := cutName(host.Name)
	if err != nil {
		return remote.Host{}, err
	}
	host.Name = name
	if after == "" {
		return host, nil
	}
	if host.Port, err = parsePort(strings.TrimPrefix(after, ":")); err != nil || after[0] != ':' {
		return remote.Host{}, errors.New("must be [user@]host[:port] with a port from 1 to 65535")
	}
	return host, nil
}

// cutName splits a valid name or address, IPv6 in brackets, from what follows it.
func cutName(value string) (name, after string, err error) {
	if inner, ok := strings.CutPrefix(value, "["); ok {
		inner, after, ok := strings.Cut(inner, "]")
		addr, err := netip.ParseAddr(inner)
		if !ok || err != nil || !addr.Is6() || addr.Zone() != "" {
			return "", "", errors.New("must have an IPv6 address in the brackets, such as [2001:db8::1]")
		}
		return addr.String(), after, nil
	}
	if addr, err := netip.ParseAddr(value); err == nil && addr.Is6() {
		return "", "", errors.New("must have the IPv6 address in brackets, such as [2001:db8::1]")
	}
	name = value
	if i := strings.IndexByte(value, ':'); i >= 0 {
		name, after = value[:i], value[i:]
	}
	if !hostname(name) {
		return "", "", errors.New("must be [user@]host[:port], the host a DNS name or an IP address")
	}
	return name, after, nil
}

// hostname tells whether s is a DNS name or an IPv4 address.
func hostname(s string) bool {
	if strings.Trim(s, "0123456789.") == "" { // a resolver would read 10.1 as 10.0.0.1
		addr, err := netip.ParseAddr(s)
		return err == nil && addr.Is4()
	}
	if len(s) > 253 {
		return false
	}
	for label := range strings.SplitSeq(s, ".") {
		if !dnsLabel.MatchString(label) {
			return false
		}
	}
	return true
}
