package inputs

import (
	"errors"
	"fmt"
	"net/netip"
	"regexp"
	"slices"
	"strconv"
	"strings"
)

func setPorts(p *parser, value string) error {
	list := strings.FieldsFunc(value, func(r rune) bool { return r == ',' || r == ' ' })
	if len(list) != 2 {
		return fmt.Errorf("must be two ports, such as %q %s", defaultPorts, got(value))
	}
	var ports [2]uint16
	for i, s := range list {
		n, err := strconv.ParseUint(s, 10, 16)
		if err != nil || n < 1024 {
			return fmt.Errorf("must be two ports from 1024 to 65535 %s", got(value))
		}
		ports[i] = uint16(n)
	}
	if ports[0] == ports[1] {
		return fmt.Errorf("must be two different ports %s", got(value))
	}
	for _, host := range p.all() {
		if slices.Contains(ports[:], host.Port) {
			return fmt.Errorf("must not include the port of SSH, %d %s", host.Port, got(value))
		}
	}
	p.in.Ports = ports
	return nil
}

func setHealthPath(p *parser, value string) error {
	if !strings.HasPrefix(value, "/") {
		return fmt.Errorf("must start with \"/\" %s", got(value))
	}
	if strings.ContainsFunc(value, func(r rune) bool {
		return r <= ' ' || r > '~' || strings.ContainsRune("\"'`\\<>^{|}#", r)
	}) {
		return fmt.Errorf("must be the path of a URL, with blanks, quotes and the like written as %%20 %s", got(value))
	}
	p.in.Health.Path = value
	return nil
}

func setHealthBody(p *parser, value string) error {
	p.in.Health.Body = value
	return nil
}

// setHealthHost takes a Host header: a name or address, and a port.
func setHealthHost(p *parser, value string) error {
	if value == "" {
		value = "localhost"
		for _, name := range strings.Fields(p.values["server-name"]) {
			if name != "_" && hostname(name) {
				value = name
				break
			}
		}
	}
	_, after, err := cutName(value)
	if err == nil && after != "" {
		_, err = parsePort(strings.TrimPrefix(after, ":"))
		if after[0] != ':' {
			err = errors.New("no port")
		}
	}
	if err != nil {
		return fmt.Errorf("must be host or host:port, as a Host header has it %s", got(value))
	}
	p.in.Health.Host = value
	return nil
}

// setServerName takes what nginx's server_name takes, but for regular expressions, whose characters nginx would
// have to be protected from.
func setServerName(p *parser, value string) error {
	names := strings.Fields(value)
	for _, name := range names {
		plain := strings.TrimSuffix(strings.TrimPrefix(strings.TrimPrefix(name, "*"), "."), ".*")
		if strings.HasPrefix(name, "*") && !strings.HasPrefix(name, "*.") {
			plain = ""
		}
		if addr, err := netip.ParseAddr(strings.Trim(name, "[]")); err == nil && addr.Is6() && addr.Zone() == "" {
			continue
		}
		if !hostname(plain) {
			return fmt.Errorf("must be DNS names separated by blanks, such as \"example.com www.example.com\", or _ "+
				"for any %s", got(value))
		}
	}
	p.in.ServerName = strings.Join(names, " ")
	return nil
}

func setTrustedProxies(p *parser, value string) (err error) {
	p.in.TrustedProxies, err = networks(value, "or any visitor could say that he is another")
	return err
}

// networks reads networks, as CIDRs or addresses; why says why they must not be all.
func networks(value, why string) ([]string, error) {
	var networks []string
	for _, item := range items(strings.ReplaceAll(value, " ", "\n")) {
		network, err := netip.ParsePrefix(item)
		if addr, notAddr := netip.ParseAddr(item); notAddr == nil && addr.Zone() == "" {
			network, err = netip.PrefixFrom(addr, addr.BitLen()), nil
		}
		switch {
		case err != nil || network.Addr().Is4In6():
			return nil, fmt.Errorf("must be networks by comma or line, such as \"10.0.0.0/16\" or \"2001:db8::/56\" %s",
				gotItem(value, item))
		case network != network.Masked():
			return nil, fmt.Errorf("must be networks, and %q is an address in one: write %q", item, network.Masked())
		case network.Bits() == 0:
			return nil, fmt.Errorf("must not be every network, %s %s", why, gotItem(value, item))
		}
		if !slices.Contains(networks, network.String()) { // nginx warns of one that is there twice
			networks = append(networks, network.String())
		}
	}
	return networks, nil
}

var nginxSize = regexp.MustCompile(`^([0-9]{1,9})([kKmMgG]?)$`)

func setMaxBodySize(p *parser, value string) error {
	if !nginxSize.MatchString(value) {
		return fmt.Errorf("must be a size as nginx writes it, such as \"100m\", or 0 for any size %s", got(value))
	}
	p.in.MaxBodySize = strings.ToLower(value)
	return nil
}

func setNginxInclude(p *parser, value string) error {
	clean, err := checkPath(value)
	if err != nil {
		return err
	}
	if !strings.HasSuffix(clean, ".inc") {
		return fmt.Errorf("must end in \".inc\": nginx loads a .conf on its own, in the wrong place %s", got(value))
	}
	p.in.NginxInclude = clean
	return nil
}
