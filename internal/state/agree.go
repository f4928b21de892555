package state

import (
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

// ChooseForAll says what a rollback of several hosts goes to: the one release that is named or, if
// none is, the one that most hosts would go back to by themselves. A host that lacks it stops the
// run: half of them on one release and half on another is what nobody asked for.
func ChooseForAll(members []Member, named string) (chosen Release, why string, err error) {
	votes := map[string]int{}
	found := map[string]Release{}
	var whys []error
	for _, m := range members {
		r, reason, err := ChooseRelease(m.Releases, m.Active, named)
		if err != nil {
			whys = append(whys, fmt.Errorf("%s: %w", m.Host, err))
			continue
		}
		votes[r.ID]++
		found[r.ID], why = r, reason
	}
	for id, r := range found {
		if n := votes[id] - votes[chosen.ID]; chosen.ID == "" || n > 0 || n == 0 && id > chosen.ID {
			chosen = r
		}
	}
	if chosen.ID == "" {
		return Release{}, "", &ChoiceError{errors.Join(whys...), "deploy the commit that you want, with the input \"ref\""}
	}
	var lack, live []string
	for _, m := range members {
		at := slices.IndexFunc(m.Releases, func(r Release) bool { return r.ID == chosen.ID })
		switch {
		case at < 0:
			lack = append(lack, fmt.Sprintf("%s, which has %s", m.Host, listed(m.Releases)))
		case m.Releases[at].Live:
			live = append(live, m.Host)
		}
	}
	if len(lack) > 0 {
		return Release{}, "", &ChoiceError{
			fmt.Errorf("release %s, commit %.7s, is not on %s", chosen.ID, chosen.Commit, strings.Join(lack, "; nor on ")),
			fmt.Sprintf("deploy that commit with the input \"ref\" (%s), or name a release that all have with the "+
				"input \"release\"", chosen.Commit),
		}
	}
	chosen.Live = len(live) > 0
	if votes[chosen.ID] < len(members) {
		why = fmt.Sprintf("%s on %d of %d hosts", why, votes[chosen.ID], len(members))
	}
	return chosen, why, nil
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
