package state

import (
	"cmp"
	"maps"
	"slices"
	"strings"
)

// alike gives a release that hosts have under several ids one of them, that of most hosts: what a host
// has missed and got later may have another one there. It returns the hosts with it, and by each id that.
func alike(members []Member) ([]Member, map[string]string) {
	name := namesOf(members)
	all := slices.Clone(members)
	for i, m := range all {
		all[i].Active = cmp.Or(name[m.Active], m.Active)
		all[i].Releases = slices.Clone(m.Releases)
		for n, r := range m.Releases {
			all[i].Releases[n].ID = name[r.ID]
		}
	}
	return all, name
}

// namesOf takes two ids for one release where they are of one commit and no host has both: a commit that
// was deployed twice is on some host under either. What fits to more than one stays by itself.
func namesOf(members []Member) map[string]string {
	on, commit := map[string][]string{}, map[string]string{}
	for _, m := range members {
		for _, r := range m.Releases {
			on[r.ID], commit[r.ID] = append(on[r.ID], m.Host), r.Commit
		}
	}
	ids := slices.SortedFunc(maps.Keys(on), func(a, b string) int {
		return cmp.Or(len(on[b])-len(on[a]), strings.Compare(a, b))
	})
	name := map[string]string{}
	for _, id := range ids {
		fits := slices.DeleteFunc(slices.Clone(ids), func(other string) bool {
			return name[other] != other || commit[other] != commit[id] ||
				slices.ContainsFunc(on[id], func(host string) bool { return slices.Contains(on[other], host) })
		})
		if name[id] = id; len(fits) == 1 {
			name[id] = fits[0]
			on[fits[0]] = append(on[fits[0]], on[id]...)
		}
	}
	return name
}
