package state

import (
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

// Release is a complete release on a host.
type Release struct {
	ID     string
	Commit string
	Live   bool     // it has served, and proved itself, at some time
	Socket bool     // its start command takes a socket, as the strategy in-place has it
	Works  bool     // it has processes beside the one that serves, or jobs
	Left   bool     // a rollback went back from it, or the run that brought it, and it has not served since
	Turn   int      // its place in the order in which releases first did; 0 when not known
	Assets []string // what names the contents of those that it has
}

// Fits refuses another strategy than that with which the release was deployed.
func (r Release) Fits(strategy inputs.Strategy) error {
	took := inputs.BlueGreen
	if r.Socket {
		took = inputs.InPlace
	}
	if took == strategy {
		return nil
	}
	return &ChoiceError{
		fmt.Errorf("release %s was deployed with the strategy %q, and a release is started as it was deployed",
			r.ID, took),
		fmt.Sprintf("set the input strategy to %q for this run", took),
	}
}

// Before tells whether a release came to serve before another. Ids decide only where the order is
// not known: they have a clock's time in them.
func (r Release) Before(other Release) bool {
	return r.Turn < other.Turn || r.Turn == other.Turn && r.ID < other.ID
}

var releaseLine = regexp.MustCompile("^(" + strings.Trim(inputs.ReleaseID.String(), "^$") +
	") ([0-9a-f]{40,64}) ([0-9]{1,9}|never)( socket)?( processes)?( left)?$")

// ReadReleases returns what releases.sh lists, newest first, and the lines of the history, oldest
// first.
func ReadReleases(res *scripts.Results) (releases []Release, history []string, err error) {
	for n := 0; res.Has(fmt.Sprintf("release_%d", n)); n++ {
		line := res.Text(fmt.Sprintf("release_%d", n))
		m := releaseLine.FindStringSubmatch(line)
		if m == nil {
			return nil, nil, fmt.Errorf("the host lists a release as %.80q", line)
		}
		turn, err := strconv.Atoi(m[3])
		release := Release{
			ID: m[1], Commit: m[2], Live: err == nil, Socket: m[4] != "", Works: m[5] != "", Left: m[6] != "",
			Turn: turn,
		}
		if key := fmt.Sprintf("assets_%d", n); res.Has(key) {
			release.Assets = strings.Fields(res.Text(key))
		}
		releases = append(releases, release)
	}
	history, err = ReadHistory(res)
	return releases, history, err
}

// ReadHistory returns the lines of deploys.jsonl that a script has printed, oldest first.
func ReadHistory(res *scripts.Results) (lines []string, err error) {
	for n := 0; res.Has(fmt.Sprintf("history_%d", n)); n++ {
		lines = append(lines, res.Text(fmt.Sprintf("history_%d", n)))
	}
	return lines, res.Err()
}

// ChooseRelease says what a rollback goes to: the release that is named or, if none is, the newest
// one older than the active release that has served before. A release that never served, or that a
// rollback has left, is only taken by name.
func ChooseRelease(releases []Release, active, named string) (chosen Release, why string, err error) {
	var known []string
	serving := Release{ID: active, Turn: math.MaxInt}
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
		case named == "" && r.Live && !r.Left && r.ID != active && r.Before(serving) && (chosen.ID == "" || chosen.Before(r)):
			chosen = r
		}
	}
	list := "there is no other complete release on the host"
	next := "deploy the commit that you want, with the input \"ref\""
	known = slices.DeleteFunc(known, func(id string) bool { return id == active })
	if len(known) > 0 {
		next = "name one of those releases with the input \"release\", or " + next
		list = "other complete releases on the host: " + strings.Join(known, ", ")
	}
	switch {
	case named != "":
		err = fmt.Errorf("release %s is not on the host any more; %s", named, list)
	case active == "":
		err, next = errors.New("no release is active, so there is none before it"), "deploy first"
	case chosen.ID == "":
		err = fmt.Errorf("no release older than %s has served before; %s", active, list)
	default:
		return chosen, "it is the newest that is older than the active one and has served before", nil
	}
	return Release{}, "", &ChoiceError{err, next}
}

// ChoiceError is a rollback that has nothing to go back to, or another operation that does not find
// the release that it is for.
type ChoiceError struct {
	Cause error
	Next  string // what to do
}

func (e *ChoiceError) Error() string { return e.Cause.Error() }
func (e *ChoiceError) Unwrap() error { return e.Cause }
