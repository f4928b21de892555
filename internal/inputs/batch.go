package inputs

import (
	"fmt"
	"strconv"
	"strings"
)

// Share is a number of hosts: as such, or in percent of them all.
type Share struct {
	Number  int
	Percent bool
}

func (s Share) String() string {
	if s.Percent {
		return fmt.Sprintf("%d%%", s.Number)
	}
	return strconv.Itoa(s.Number)
}

// AtLeast is how many of some hosts that is, rounded up, and no more than there are.
func (s Share) AtLeast(hosts int) int {
	if s.Percent {
		return (hosts*s.Number + 99) / 100
	}
	return min(s.Number, hosts)
}

// AtMost is the same, rounded down.
func (s Share) AtMost(hosts int) int {
	if s.Percent {
		return hosts * s.Number / 100
	}
	return min(s.Number, hosts)
}

// whole is every host.
var whole = Share{Number: 100, Percent: true}

// maxHosts is as many as a number of hosts may be.
const maxHosts = 10000

// parseShare reads an item of a list, which may be it alone.
func parseShare(list, value string, least int) (Share, error) {
	digits, percent := strings.CutSuffix(value, "%")
	n, err := strconv.Atoi(digits)
	if err != nil || n < least || percent && n > 100 || n > maxHosts {
		return Share{}, fmt.Errorf("must be a number of hosts such as \"1\", or a part of them such as \"25%%\", from %d "+
			"%s", least, gotItem(list, value))
	}
	return Share{n, percent}, nil
}

// setBatch reads how many hosts have the new version once each batch is through. Where versions take
// each other's place, one host at a time makes visitors wait on that one alone.
func setBatch(p *parser, value string) error {
	var last [2]int // of the numbers, and of the parts
	for _, item := range items(value) {
		share, err := parseShare(value, item, 1)
		if err != nil {
			return err
		}
		kind := &last[0]
		if share.Percent {
			kind = &last[1]
		}
		if share.Number <= *kind {
			return fmt.Errorf("must grow from one to the next: each says how many hosts have the new version by then, "+
				"as \"1, 25%%, 100%%\" does %s", got(value))
		}
		*kind = share.Number
		p.in.Batches = append(p.in.Batches, share)
	}
	if n := len(p.in.Batches); n > 0 && p.in.Batches[n-1] != whole {
		p.in.Batches = append(p.in.Batches, whole)
	}
	return nil
}

// batchEach makes batches where none were asked for.
func (in *Inputs) batchEach() {
	if len(in.Batches) > 0 {
		return
	}
	if in.Strategy == InPlace {
		for n := range in.Hosts {
			in.Batches = append(in.Batches, Share{Number: n + 1})
		}
	}
	in.Batches = append(in.Batches, whole)
}

func setSkipUnreachable(p *parser, value string) error {
	share, err := parseShare(value, value, 0)
	if err != nil {
		return err
	}
	p.in.SkipUnreachable = share
	return nil
}

func (in *Inputs) spares() error {
	if n, share := len(in.Hosts), in.SkipUnreachable; n > 0 && share.AtMost(n) == n {
		return fmt.Errorf("must leave a host that has to be reachable: there are %d (got %q)", n, share)
	}
	return nil
}
