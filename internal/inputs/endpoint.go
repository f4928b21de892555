package inputs

import (
	"errors"
	"fmt"
	"regexp"
	"slices"

	"github.com/clothesme/deploy-action/remote"
)

// OwnEndpoint is the Instance Connect Endpoint in the network of each host.
const OwnEndpoint = "auto"

var endpointID = regexp.MustCompile(`^eice-[0-9a-f]{8}([0-9a-f]{9})?$`)

// endpointPort is the one of SSH that an endpoint connects to
// (docs.aws.amazon.com/AWSEC2/latest/UserGuide/connect-using-eice.html).
const endpointPort = 22

func setConnectEndpoint(p *parser, value string) error {
	otherPort := func(h remote.Host) bool { return h.Port != endpointPort }
	switch {
	case value == "":
		return nil
	case value != OwnEndpoint && !endpointID.MatchString(value):
		return fmt.Errorf("must be \"auto\", or the id of an Instance Connect Endpoint, such as "+
			"\"eice-0123456789abcdef0\" %s", got(value))
	case p.values["proxy-jump"] != "":
		return errors.New(`is another way to the hosts than the input "proxy-jump": leave one of the two out`)
	case p.values["security-group"] != "":
		return errors.New(`needs no input "security-group", since no host sees this runner: leave that out, and let the ` +
			"endpoint's own security group in on port 22 of the hosts")
	case !p.good("host") || !p.good("instances") || !p.good("port"):
		return nil
	case slices.ContainsFunc(p.in.Hosts, isByName):
		return errors.New("leads to instances, and the input \"host\" has names or addresses: write their ids there, " +
			"such as \"i-0123456789abcdef0\"")
	case p.in.Address == AddressPublic:
		return errors.New(`leads to private addresses: leave the input "address" out, or make it "private" or "ipv6"`)
	case slices.ContainsFunc(p.all(), otherPort):
		return errors.New("leads to port 22 alone, by AWS's rule: let the hosts' sshd listen there, and leave " +
			"other ports out")
	}
	p.in.ConnectEndpoint = value
	return nil
}
