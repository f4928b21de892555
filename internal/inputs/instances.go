package inputs

import (
	"errors"
	"fmt"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"github.com/clothesme/deploy-action/remote"
)

// Instances are hosts that are found on AWS: all that is given must hold of each.
type Instances struct {
	Text  string // as it was written
	ID    string
	Group string      // of Auto Scaling
	Tags  [][2]string // key and value
}

// Address says by which of its addresses an instance is reached.
type Address string

// The addresses.
const (
	AddressAuto    Address = "auto" // the first that it has of those below
	AddressPublic  Address = "public"
	AddressPrivate Address = "private"
	AddressIPv6    Address = "ipv6"
)

var addresses = []Address{AddressAuto, AddressPublic, AddressPrivate, AddressIPv6}

// What AWS lets them be called:
// docs.aws.amazon.com/autoscaling/ec2/APIReference/API_CreateAutoScalingGroup.html,
// docs.aws.amazon.com/AWSEC2/latest/UserGuide/Using_Tags.html and
// docs.aws.amazon.com/AWSEC2/latest/UserGuide/resource-ids.html
var (
	instanceID = regexp.MustCompile(`^i-[0-9a-f]{8}([0-9a-f]{9})?$`)
	groupName  = regexp.MustCompile(`^[ -9;-~]{1,255}$`)
)

// setInstances reads lines of terms such as asg=web, tag:Role=front and i-0123456789abcdef0.
func setInstances(p *parser, value string) error {
	var errs []error
	first := len(p.in.Instances) // those before are of the input host
	for line := range strings.Lines(value) {
		if line = strings.TrimSpace(line); line == "" {
			continue
		}
		wanted, err := parseInstances(line)
		if err == nil && slices.ContainsFunc(p.in.Instances[first:], func(o Instances) bool { return o.Text == line }) {
			err = errors.New("must not have a line twice")
		}
		if err != nil {
			errs = append(errs, fmt.Errorf("%w %s", err, gotItem(value, line)))
			continue
		}
		p.in.Instances = append(p.in.Instances, wanted)
	}
	return errors.Join(errs...)
}

func parseInstances(line string) (Instances, error) {
	wanted := Instances{Text: line}
	terms, err := cutTerms(line)
	for _, term := range terms {
		group, isGroup := strings.CutPrefix(term, "asg=")
		tag, isTag := strings.CutPrefix(term, "tag:")
		key, text, hasValue := strings.Cut(tag, "=")
		switch {
		case isGroup && wanted.Group != "", strings.HasPrefix(term, "i-") && wanted.ID != "":
			return wanted, errors.New("must not name two groups or two instances in a line: all terms of a line must hold of " +
				"an instance, and lines add up")
		case isGroup && groupName.MatchString(group):
			wanted.Group = group
		case isTag && hasValue && key != "" && !strings.ContainsAny(text, `*?\`):
			wanted.Tags = append(wanted.Tags, [2]string{key, text})
		case isTag && hasValue && key != "":
			return wanted, errors.New(`must have a tag's value as it is, without *, ? and \`)
		case instanceID.MatchString(term):
			wanted.ID = term
		default:
			return wanted, errors.New("must be lines of asg=NAME, tag:KEY=VALUE and i-…, separated by blanks; a value with " +
				"blanks is put in double quotes, such as tag:Name=\"web server\"")
		}
	}
	return wanted, err
}

// cutTerms splits a line at blanks that are not within double quotes, which are dropped.
func cutTerms(line string) ([]string, error) {
	var terms []string
	quoted, begun := false, false
	for _, r := range line {
		switch {
		case r == '"':
			quoted = !quoted
			fallthrough
		case quoted, r != ' ' && r != '\t':
			if !begun {
				terms, begun = append(terms, ""), true
			}
			if r != '"' {
				terms[len(terms)-1] += string(r)
			}
		default:
			begun = false
		}
	}
	if quoted {
		return nil, errors.New("must have a second double quote where it has one")
	}
	return terms, nil
}

func setAddress(p *parser, value string) error {
	if !slices.Contains(addresses, Address(value)) {
		return fmt.Errorf("must be one of %s %s", listed(addresses), got(value))
	}
	p.in.Address = Address(value)
	return nil
}

// Expected is how many hosts there must be.
type Expected struct {
	Text        string // as it was written
	Least, Most int
}

var expected = regexp.MustCompile(`^([0-9]{1,5})(-([0-9]{1,5})?)?$`)

// setExpectHosts reads N, N- and N-M.
func setExpectHosts(p *parser, value string) error {
	parts := expected.FindStringSubmatch(value)
	wrong := fmt.Errorf("must be a number of hosts, such as \"3\", at least so many, such as \"2-\", or from and to, "+
		"such as \"2-6\", from 1 to %d %s", maxHosts, got(value))
	if parts == nil {
		return wrong
	}
	e := Expected{Text: value}
	e.Least, _ = strconv.Atoi(parts[1])
	switch {
	case parts[2] == "":
		e.Most = e.Least
	case parts[3] == "":
		e.Most = maxHosts
	default:
		e.Most, _ = strconv.Atoi(parts[3])
	}
	if e.Least < 1 || e.Most < e.Least || e.Most > maxHosts {
		return wrong
	}
	p.in.Expect = e
	return nil
}

// FoundHost is where an instance is logged in to.
func (in *Inputs) FoundHost(id, address string) remote.Host {
	return remote.Host{User: in.Username, Name: address, Port: in.Port, Alias: id}
}

// Found adds the hosts that Instances were found to be, those that the input host names in the places
// that they have there, and checks what depends on how many there are. It returns Errors.
func (in *Inputs) Found(hosts []remote.Host) error {
	var errs Errors
	for _, host := range hosts {
		input := "instances"
		place := slices.IndexFunc(in.Hosts, func(h remote.Host) bool { return h.Alias == host.Alias && h.Name == h.Alias })
		if place >= 0 {
			input, host.User, host.Port = "host", in.Hosts[place].User, in.Hosts[place].Port
		}
		for _, other := range in.Hosts {
			if other.String() == host.String() {
				errs = append(errs, in.faultOf(input, fmt.Errorf("finds %s (%s), which %s already: a host is deployed to "+
					"once, so leave one of them out", host, host.Alias, named(other))))
			}
		}
		if place >= 0 {
			in.Hosts[place] = host
			continue
		}
		in.Hosts = append(in.Hosts, host)
	}
	switch n := len(in.Hosts); {
	case n == 0:
		errs = append(errs, in.faultOf("instances", errors.New("must find a host, and finds none that runs and is in "+
			"service: correct it, or \"aws-region\", or see on AWS why there is none")))
	case n < in.Expect.Least || n > in.Expect.Most:
		errs = append(errs, in.faultOf("expect-hosts", fmt.Errorf("must be true of the hosts that there are, and there %s "+
			"(got %q): correct it, or what names the hosts, or see on AWS why there are not as many as there should be",
			hostsText(n), in.Expect.Text)))
	}
	for _, check := range []struct {
		input string
		err   error
	}{{"https", in.oneForHTTPS()}, {"skip-unreachable", in.spares()}} {
		if check.err != nil {
			errs = append(errs, in.faultOf(check.input, check.err))
		}
	}
	in.batchEach()
	if len(errs) > 0 {
		return errs
	}
	return nil
}

func (in *Inputs) faultOf(input string, err error) *Fault {
	return &Fault{Input: input, Err: err, Outside: in.Outside}
}

func named(host remote.Host) string {
	if host.Alias != "" {
		return host.Alias + " has"
	}
	return "the input \"host\" names"
}

func hostsText(n int) string {
	if n == 1 {
		return "is 1"
	}
	return fmt.Sprintf("are %d", n)
}
