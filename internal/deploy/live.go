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
func (c *choice) chooseLive(context.Context) (string, error) {
	var commits []string // of the hosts, in their order
	votes := map[string]int{}
	voters := c.voters()
	for _, h := range voters {
		if c.recipe.servesAlready(h) && len(h.Active.Commit) == 40 {
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
	c.in.Ref = most
	line := fmt.Sprintf("commit %.7s, which %d of %d hosts serve", most, votes[most], len(voters))
	if held := len(c.present()) - len(voters); held > 0 {
		line += fmt.Sprintf("; what %d serve that are held at their launch does not count", held)
	}
	return line, nil
}

// voters are the hosts that tell what is live. Those that a hook holds have what their image has, which
// no visitor gets; they count where no other host serves anything.
func (c *choice) voters() []*target {
	var free []*target
	serves := false
	for _, h := range c.present() {
		if c.roster.isFree(h) {
			free = append(free, h)
			serves = serves || c.recipe.servesAlready(h)
		}
	}
	if !serves {
		return c.present()
	}
	return free
}

func (c *choice) namesCommit(*target) bool { return !c.in.RefLive || !c.op.makes }
