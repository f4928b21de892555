package deploy

import (
	"context"
	"errors"
	"fmt"
)

// errNoneLive is what the input ref: live comes to where nothing is.
var errNoneLive = errors.New("the input \"ref\" is live, and no host serves a commit that could be meant: name " +
	"a commit, or deploy to a host first")

// chooseLive has the input ref mean the commit that most hosts serve, of equally many the one of the
// first of them: it is what a host gets that joins them, whatever the branch has by now.
func (d *Deployment) chooseLive(context.Context) (string, error) {
	var commits []string // of the hosts, in their order
	votes := map[string]int{}
	for _, h := range d.present() {
		if d.servesAlready(h) && len(h.Active.Commit) == 40 {
			commits = append(commits, h.Active.Commit)
			votes[h.Active.Commit]++
		}
	}
	most := ""
	for _, commit := range commits {
		if votes[commit] > votes[most] {
			most = commit
		}
	}
	if most == "" {
		return "", errNoneLive
	}
	d.in.Ref = most
	return fmt.Sprintf("commit %.7s, which %d of %d hosts serve", most, votes[most], len(d.present())), nil
}

func (d *Deployment) namesCommit(*target) bool { return !d.in.RefLive || !d.op.makes }
