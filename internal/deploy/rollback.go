package deploy

import (
	"context"
	"errors"
	"fmt"
	"math"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"github.com/clothesme/deploy-action/internal/inputs"
	"github.com/clothesme/deploy-action/scripts"
)

// release is a complete release on a host.
type release struct {
	ID     string
	Commit string
	Live   bool // it has served, and proved itself, at some time
	Socket bool // its start command takes a socket, as the strategy in-place has it
	Turn   int  // its place in the order in which releases first did; 0 when not known
}

func (r release) strategy() inputs.Strategy {
	if r.Socket {
		return inputs.InPlace
	}
	return inputs.BlueGreen
}

// before tells whether a release came to serve before another. Ids decide only where the order is not known: they have a clock's time in them.
func (r release) before(other release) bool {
	return r.Turn < other.Turn || r.Turn == other.Turn && r.ID < other.ID
}

var releaseLine = regexp.MustCompile("^(" + strings.Trim(inputs.ReleaseID.String(), "^$") + ") ([0-9a-f]{40,64}) ([0-9]{1,9}|never)( socket)?$")

// readReleases returns what releases.sh lists, newest first, and the lines of the history, oldest first.
func readReleases(res *scripts.Results) (releases []release, history []string, err error) {
	for n := 0; res.Has(fmt.Sprintf("release_%d", n)); n++ {
		line := res.Text(fmt.Sprintf("release_%d", n))
		m := releaseLine.FindStringSubmatch(line)
		if m == nil {
			return nil, nil, fmt.Errorf("the host lists a release as %.80q", line)
		}
		turn, err := strconv.Atoi(m[3])
		releases = append(releases, release{ID: m[1], Commit: m[2], Live: err == nil, Socket: m[4] != "", Turn: turn})
	}
	history, err = readHistory(res)
	return releases, history, err
}

// readHistory returns the lines of deploys.jsonl that a script has printed, oldest first.
func readHistory(res *scripts.Results) (lines []string, err error) {
	for n := 0; res.Has(fmt.Sprintf("history_%d", n)); n++ {
		lines = append(lines, res.Text(fmt.Sprintf("history_%d", n)))
	}
	return lines, res.Err()
}

// chooseRelease says what a rollback goes to: the release that is named or, if none is, the newest one older than the active release that has
// served before. A release that never served is only taken by name.
func chooseRelease(releases []release, active, named string) (chosen release, why string, err error) {
	var known []string
	serving := release{ID: active, Turn: math.MaxInt}
	for _, r := range releases {
		if r.ID == active && r.Live {
			serving = r
		}
	}
	for _, r := range releases {
		known = append(known, r.ID)
		switch {
		case named != "" && r.ID == named && r.Live:
			return r, "it was asked for", nil
		case named != "" && r.ID == named:
			return r, "it was asked for, although it has never served", nil
		case named == "" && r.Live && r.ID != active && r.before(serving) && (chosen.ID == "" || chosen.before(r)):
			chosen = r
		}
	}
	list, next := "there is no other complete release on the host", "deploy the commit that you want, with the input \"ref\""
	known = slices.DeleteFunc(known, func(id string) bool { return id == active })
	if len(known) > 0 {
		next = "name one of those releases with the input \"release\", or deploy the commit that you want, with the input \"ref\""
		list = "other complete releases on the host: " + strings.Join(known, ", ")
	}
	switch {
	case named != "":
		return release{}, "", &choiceError{fmt.Errorf("release %s is not on the host any more; %s", named, list), next}
	case active == "":
		return release{}, "", &choiceError{errors.New("no release is active, so there is none before it"), "deploy first"}
	case chosen.ID == "":
		return release{}, "", &choiceError{fmt.Errorf("no release older than %s has served before; %s", active, list), next}
	}
	return chosen, "it is the newest that is older than the active one and has served before", nil
}

// choiceError is a rollback that has nothing to go back to.
type choiceError struct {
	error
	next string // what to do
}

// choose takes fetch's place in a rollback.
func (d *Deployment) choose(ctx context.Context, h *host) (string, error) {
	res, err := d.exec(ctx, h, scripts.Releases, scripts.Values{"history": "0", "list": "no"})
	if err != nil {
		return "", err
	}
	releases, _, err := readReleases(res)
	if err != nil {
		return "", err
	}
	active := ""
	if h.Active != nil {
		active = h.Active.Release
	}
	chosen, why, err := chooseRelease(releases, active, d.in.Release)
	if err != nil {
		return "", err
	}
	if took := chosen.strategy(); took != d.in.Strategy {
		return "", &choiceError{
			fmt.Errorf("release %s was deployed with the strategy %q, and a release is started as it was deployed", chosen.ID, took),
			fmt.Sprintf("set the input strategy to %q for this rollback", took),
		}
	}
	h.release, h.commit, h.served = chosen.ID, chosen.Commit, chosen.Live
	if chosen.ID == active && d.servesAlready(h) {
		h.unchanged = true
		return fmt.Sprintf("%s is active already", chosen.ID), nil
	}
	return fmt.Sprintf("%s, commit %.7s: %s", chosen.ID, chosen.Commit, why), nil
}
