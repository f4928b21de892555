package state

import (
	"cmp"
	"errors"
	"fmt"
	"slices"
	"strings"
)

// Member is one host of several, as a decision for all of them needs it.
type Member struct {
	Host     string
	Active   string    // the release that serves there; "" for none
	Releases []Release // the complete ones
}

// Choice is what a rollback of several hosts goes to.
type Choice struct {
	Release
	Why  string
	Lack []string          // hosts that do not have it, and have to fetch it
	Own  map[string]string // by host, the id that it has there, where that is another one
}

// ChooseForAll says what a rollback of several hosts goes to: the one release that is named or, if
// none is, the newest that is older than what most of them serve and has served on at least half of
// them. Half of the hosts on one release and half on another is what nobody asked for, so a host
// that lacks it fetches it, where its commit can be fetched.
func ChooseForAll(hosts []Member, named string, fetches bool) (Choice, error) {
	var chosen Choice
	var err error
	members, name := alike(hosts)
	if named != "" {
		chosen, err = chooseNamed(members, cmp.Or(name[named], named))
	} else {
		chosen, err = chooseOlder(members)
	}
	if err != nil {
		return Choice{}, err
	}
	chosen.Own = map[string]string{}
	for i, m := range members {
		at := slices.IndexFunc(m.Releases, func(r Release) bool { return r.ID == chosen.ID })
		if at < 0 {
			chosen.Lack = append(chosen.Lack, m.Host)
		} else if own := hosts[i].Releases[at].ID; own != chosen.ID {
			chosen.Own[m.Host] = own
		}
	}
	if len(chosen.Lack) > 0 && (!fetches || len(chosen.Commit) != gitCommit) {
		return Choice{}, &ChoiceError{
			fmt.Errorf("release %s, commit %.7s, is not on %s, and what came from a workspace can't be fetched there: %s",
				chosen.ID, chosen.Commit, strings.Join(chosen.Lack, ", "), haves(members)),
			"name a release that all have with the input \"release\", or deploy what you want from a workspace that has it",
		}
	}
	return chosen, nil
}

// gitCommit is how long the name of a commit is that git can be asked for; that of a workspace is
// longer.
const gitCommit = 40

func chooseNamed(members []Member, named string) (Choice, error) {
	chosen := Choice{Why: "it was asked for, although it has never served"}
	for _, m := range members {
		for _, r := range m.Releases {
			if r.ID == named && (chosen.ID == "" || r.Live) {
				chosen.Release = r
			}
		}
	}
	if chosen.Live {
		chosen.Why = "it was asked for"
	}
	if chosen.ID == "" {
		return chosen, &ChoiceError{
			fmt.Errorf("release %s is not on any of the hosts any more: %s", named, haves(members)),
			"name one of those releases with the input \"release\", or deploy the commit that you want, with the input \"ref\"",
		}
	}
	return chosen, nil
}

func chooseOlder(members []Member) (chosen Choice, err error) {
	serving := servedByMost(members)
	if serving == "" {
		return chosen, &ChoiceError{errors.New("no release is active, so there is none before it"), "deploy first"}
	}
	on := map[string]int{} // how many hosts
	left := map[string]bool{}
	for _, m := range members {
		for _, r := range m.Releases {
			left[r.ID] = left[r.ID] || r.Left
		}
	}
	for _, m := range members {
		for _, r := range m.Releases {
			if !r.Live || left[r.ID] || r.ID == serving || inOrder(members, r.ID, serving) >= 0 {
				continue
			}
			on[r.ID]++
			if 2*on[r.ID] >= len(members) && (chosen.ID == "" || inOrder(members, chosen.ID, r.ID) < 0) {
				chosen.Release = r
			}
		}
	}
	if chosen.ID == "" {
		return chosen, &ChoiceError{
			fmt.Errorf("no release older than %s has served on at least half of the hosts: %s", serving, haves(members)),
			"name a release with the input \"release\", or deploy the commit that you want, with the input \"ref\"",
		}
	}
	chosen.Why = fmt.Sprintf("it is the newest that is older than the active one and has served before, on %d of %d hosts",
		on[chosen.ID], len(members))
	return chosen, nil
}

// servedByMost is the release that most hosts serve; of several the newest.
func servedByMost(members []Member) (most string) {
	votes := map[string]int{}
	for _, m := range members {
		if m.Active != "" {
			votes[m.Active]++
		}
	}
	for id, n := range votes {
		if most == "" || n > votes[most] || n == votes[most] && inOrder(members, most, id) < 0 {
			most = id
		}
	}
	return most
}

// inOrder compares two releases by when they came to serve, as most hosts that have both have it;
// where none has, by their ids, which have a clock's time in them.
func inOrder(members []Member, a, b string) int {
	votes := 0
	for _, m := range members {
		var both [2]Release
		for _, r := range m.Releases {
			if r.Live && r.ID == a {
				both[0] = r
			}
			if r.Live && r.ID == b {
				both[1] = r
			}
		}
		if both[0].ID != "" && both[1].ID != "" {
			votes += cmp.Compare(both[0].Turn, both[1].Turn)
		}
	}
	return cmp.Or(votes, strings.Compare(a, b))
}

// haves says host by host what each has.
func haves(members []Member) string {
	var lines []string
	for _, m := range members {
		lines = append(lines, m.Host+" has "+listed(m.Releases))
	}
	return strings.Join(lines, "; ")
}

func listed(releases []Release) string {
	var ids []string
	for _, r := range releases {
		ids = append(ids, r.ID)
	}
	if len(ids) == 0 {
		return "none"
	}
	return strings.Join(ids, ", ")
}

// Skew says what serves where, a line a version, when that is not the same on all hosts.
func Skew(members []Member) []string {
	var order []string
	hosts := map[string][]string{}
	for _, m := range members {
		if hosts[m.Active] == nil {
			order = append(order, m.Active)
		}
		hosts[m.Active] = append(hosts[m.Active], m.Host)
	}
	if len(order) < 2 {
		return nil
	}
	slices.SortStableFunc(order, func(a, b string) int { return len(hosts[b]) - len(hosts[a]) })
	var lines []string
	for _, version := range order {
		name := version
		if name == "" {
			name = NoRelease
		}
		lines = append(lines, fmt.Sprintf("%s on %s", name, strings.Join(hosts[version], ", ")))
	}
	return lines
}
