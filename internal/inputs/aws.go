package inputs

import (
	"errors"
	"fmt"
	"net/netip"
	"regexp"
	"slices"
	"strings"
)

// Identity is where GitHub gives the job tokens that prove which workflow it is of. Both are empty
// where the workflow does not let it have any.
type Identity struct {
	URL    string
	Bearer Secret
}

// docs.aws.amazon.com/IAM/latest/UserGuide/reference_identifiers.html
var roleARN = regexp.MustCompile(`^arn:aws(-[a-z]+)*:iam::[0-9]{12}:role/[A-Za-z0-9_+=,.@/-]{1,512}$`)

func setRole(p *parser, value string) error {
	switch {
	case value == "":
		return nil
	case !roleARN.MatchString(value):
		return fmt.Errorf("must be the ARN of a role, such as \"arn:aws:iam::123456789012:role/deploy\" %s", got(value))
	case p.in.Identity.URL == "" || p.in.Identity.Bearer == "":
		return errors.New("takes the role by the job's token, and the job has none: give the workflow, or the job, " +
			"permissions: {contents: read, id-token: write} (a pull request from a fork gets no token)")
	}
	p.in.Role = value
	return nil
}

// docs.aws.amazon.com/AWSEC2/latest/UserGuide/resource-ids.html
var groupID = regexp.MustCompile(`^sg-[0-9a-f]{8}([0-9a-f]{9})?$`)

func setSecurityGroup(p *parser, value string) error {
	if value != "" && !groupID.MatchString(value) {
		return fmt.Errorf("must be the id of a security group of the hosts, such as \"sg-0123456789abcdef0\" %s", got(value))
	}
	p.in.SecurityGroup = value
	return nil
}

// setRunnerCIDR takes an address or a network. A wide one is nobody's own.
func setRunnerCIDR(p *parser, value string) error {
	if value == "" {
		return nil
	}
	if p.values["security-group"] == "" {
		return errors.New(`is for the input "security-group" only: leave it out, or name that group`)
	}
	network, err := netip.ParsePrefix(value)
	if address, only := netip.ParseAddr(value); only == nil && address.Zone() == "" {
		network, err = netip.PrefixFrom(address, address.BitLen()), nil
	}
	if err != nil || network.Masked() != network || network.Addr().Is4In6() {
		return fmt.Errorf("must be the address or the network that this runner comes from, such as \"203.0.113.7\" or "+
			"\"203.0.113.0/28\" %s", got(value))
	}
	if least := map[bool]int{true: 16, false: 32}[network.Addr().Is4()]; network.Bits() < least {
		return fmt.Errorf("must be a network of your own, of at least /%d %s", least, got(value))
	}
	p.in.RunnerCIDR = network.String()
	return nil
}

// Where keys of found hosts are looked for besides known-hosts.
const (
	Console    = "console"
	InstanceID = "{instance-id}" // in the name of a parameter
)

var keyParameter = regexp.MustCompile(`^/[A-Za-z0-9_./-]*\{instance-id\}[A-Za-z0-9_./-]*$`)

// setHostKeySources reads them in their order. Known-hosts always goes before the others.
func setHostKeySources(p *parser, value string) error {
	for i, item := range items(value) {
		name, isParameter := strings.CutPrefix(item, "ssm:")
		switch {
		case item == "known-hosts" && i == 0:
		case item == Console:
			p.in.HostKeySources = append(p.in.HostKeySources, item)
		case isParameter && keyParameter.MatchString(name):
			p.in.HostKeySources = append(p.in.HostKeySources, name)
		default:
			return fmt.Errorf("must be known-hosts, which comes first, console, or a parameter with the instance's id in its "+
				"name such as \"ssm:/host-keys/{instance-id}\" %s", gotItem(value, item))
		}
	}
	if len(p.in.HostKeySources) > 0 && len(p.in.Instances) == 0 && p.good("host") && p.good("instances") {
		return fmt.Errorf("must be \"known-hosts\" where no host is an instance: AWS knows the keys of those alone that "+
			"the input \"instances\" finds, or that \"host\" names by their ids %s", got(value))
	}
	return nil
}

// docs.aws.amazon.com/elasticloadbalancing/latest/APIReference/API_CreateTargetGroup.html
var targetGroup = regexp.MustCompile(`^([A-Za-z0-9]|[A-Za-z0-9][A-Za-z0-9-]{0,30}[A-Za-z0-9]|` +
	`arn:aws(-[a-z]+)*:elasticloadbalancing:[a-z0-9-]+:[0-9]{12}:targetgroup/[A-Za-z0-9-]{1,32}/[0-9a-f]+)$`)

func setTargetGroups(p *parser, value string) error {
	for _, item := range items(value) {
		switch {
		case !targetGroup.MatchString(item):
			return fmt.Errorf("must be the names or ARNs of target groups, such as \"web\" %s", gotItem(value, item))
		case slices.Contains(p.in.TargetGroups, item):
			return fmt.Errorf("must not have a target group twice %s", gotItem(value, item))
		}
		p.in.TargetGroups = append(p.in.TargetGroups, item)
	}
	return nil
}

// Values of launch-image.
const (
	NoImage    = "false"
	OfRelease  = "true"
	WithShared = "with-shared" // what releases have in common is in it, too
)

// setLaunchImage has to know where hosts are found, and looks at what they share: each instance of an image
// gets a copy of that, such as of a database in a file.
func setLaunchImage(p *parser, value string) error {
	var err error
	if value != WithShared {
		p.in.LaunchImage, err = boolean(value)
	}
	switch {
	case err != nil:
		return fmt.Errorf("must be \"true\", \"false\" or \"with-shared\" %s", got(value))
	case value == WithShared:
		p.in.LaunchImage = true
	case p.in.LaunchImage && p.values["shared"] != "":
		return errors.New("must be \"with-shared\" where the input \"shared\" names paths: an image has what lies there by " +
			"then, and each instance of it a copy of its own, of uploads as of a database in a file")
	}
	byGroup := func(i Instances) bool { return i.Group != "" }
	if p.in.LaunchImage && p.good("instances") && !slices.ContainsFunc(p.in.Instances, byGroup) {
		return errors.New("is for Auto Scaling groups: name one in the input \"instances\", such as \"asg=web\", or leave " +
			"this out")
	}
	return nil
}
