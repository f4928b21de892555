package deploy

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/clothesme/deploy-action/internal/cloud"
	"github.com/clothesme/deploy-action/internal/cloud/images"
	"github.com/clothesme/deploy-action/internal/cloud/instances"
	"github.com/clothesme/deploy-action/internal/inputs"
	"github.com/clothesme/deploy-action/internal/outcome"
	"github.com/clothesme/deploy-action/internal/report"
)

// fakeImages make an image that is in one state after the other, the last one of which stays.
type fakeImages struct {
	groups []images.Group
	own    []images.Image
	states []images.State
	fails  map[string]error // by what is asked
	came   *instances.Found // what is found at the end of the run
	onMake func()
	onOf   func(asked int) // counts from 1

	made     []string // instances
	tags     map[string]string
	name     string
	listed   int
	asked    int
	launched []string
	why      string // the description
	removed  []string
}

func (f *fakeImages) Groups(_ context.Context, names []string) ([]images.Group, error) {
	if strings.Join(names, " ") != "web api" {
		return nil, fmt.Errorf("asked for groups %q", names)
	}
	return f.groups, f.fails["Groups"]
}

func (f *fakeImages) Tagged(_ context.Context, key, value string) ([]images.Image, error) {
	if key != "deploy-action:app" || value != "ai-server" {
		return nil, fmt.Errorf("asked for %s=%s", key, value)
	}
	f.listed++
	return append([]images.Image{}, f.own...), f.fails[fmt.Sprint("Tagged ", f.listed)]
}

func (f *fakeImages) Of(_ context.Context, id string) (images.Image, error) {
	f.asked++
	if f.onOf != nil {
		f.onOf(f.asked)
	}
	return images.Image{
		ID: id, State: f.states[min(f.asked, len(f.states))-1], Why: "no room", Open: true,
	}, f.fails["Of"]
}

func (f *fakeImages) Make(_ context.Context, instance, name string, tags map[string]string) (string, error) {
	if f.onMake != nil {
		f.onMake()
	}
	f.made, f.name, f.tags = append(f.made, instance), name, tags
	return "ami-new", f.fails["Make"]
}

func (f *fakeImages) Launch(_ context.Context, groups []images.Group, image, description string) ([]string, error) {
	f.why = description
	var done []string
	for _, g := range groups {
		if g.InUse.Image != image {
			f.launched = append(f.launched, g.Name+" "+image)
			done = append(done, g.Name+" launches it")
		}
	}
	return done, f.fails["Launch"]
}

func (f *fakeImages) Remove(_ context.Context, image images.Image) error {
	f.removed = append(f.removed, image.ID)
	return f.fails["Remove"]
}

// newImages are those of two groups that launch ami-2, and of an application that has three.
func newImages() *fakeImages {
	f := &fakeImages{states: []images.State{images.Available}, fails: map[string]error{}}
	for _, name := range []string{"web", "api"} {
		f.groups = append(f.groups, images.Group{
			Name: name, Template: "lt-1", Version: images.Latest, InUse: images.Version{Number: 3, Image: "ami-2"},
		})
	}
	f.own = []images.Image{own("ami-3", "r3"), own("ami-2", "r2"), own("ami-1", "r1"), own("ami-0", "r0")}
	return f
}

func own(id, release string) images.Image {
	return images.Image{
		ID: id, State: images.Available, Tags: map[string]string{tagRelease: release, tagGroups: "web, api"},
	}
}

func imageInputs() *inputs.Inputs {
	in := findInputs()
	in.Strategy, in.Timeout = inputs.BlueGreen, time.Hour
	in.Instances = append(in.Instances, inputs.Instances{Text: "asg=api tag:a=b", Group: "api"},
		inputs.Instances{Text: "asg=web tag:a=b", Group: "web"}, inputs.Instances{Text: "tag:c=d"})
	in.LaunchImage, in.KeepImages = true, 2
	return in
}

// imaging deploys to two hosts that AWS finds, in a time that passes when all wait.
func (fl fakeFleet) imaging(
	t *testing.T, in *inputs.Inputs, from *fakeImages, cancelOn int,
) (result *outcome.Result, log, state string, err error) {
	t.Helper()
	file := filepath.Join(t.TempDir(), "state")
	env := map[string]string{"GITHUB_STATE": file}
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithCancel(t.Context())
		defer cancel()
		for _, f := range fl {
			f.cancel = cancel
		}
		before := from.onOf
		from.onOf = func(asked int) {
			if asked == cancelOn {
				cancel()
			}
			if before != nil {
				before(asked)
			}
		}
		var text bytes.Buffer
		d := New(in, report.New(&text, func(name string) string { return env[name] }), fl.dial, fl[0].open, time.Now())
		found := &fakeInstances{answers: []*instances.Found{foundAs(1, 2)}}
		if from.came != nil {
			found.answers = append(found.answers, from.came)
		}
		d.roster.openInstances = func(context.Context, *cloud.Account) (Instances, error) { return found, nil }
		d.imaging.openImages = func(context.Context, *cloud.Account) (Images, error) { return from, from.fails["open"] }
		result, err = d.Run(ctx)
		log = text.String()
	})
	saved, _ := os.ReadFile(file)
	return result, log, string(saved), err
}

const imageRelease = "20261123T000000Z-bbbbbbb"

func TestTheGroupsLaunchAnImageOfTheRelease(t *testing.T) {
	fl, from := newFleet(t, 2), newImages()
	from.states = []images.State{images.Unknown, images.Pending, images.Available}
	from.onMake = func() {
		if fl[0].holder == "" || !fl[0].ran("record") || !fl[0].ran("sync") || !fl[1].ran("record") || fl[0].flag != "8081" {
			t.Errorf("the image is made too early: %v", fl[0].calls)
		}
	}
	from.onOf = func(int) {
		if fl[0].holder+fl[1].holder != "" {
			t.Error("another run waits while AWS makes the image")
		}
	}
	_, log, state, err := fl.imaging(t, imageInputs(), from, 0)
	if err != nil || fl[1].ran("sync") {
		t.Fatalf("%v, %v\n%s", err, fl[1].calls, log)
	}
	if diff := cmp.Diff([][]string{{"i-1"}, {"web ami-new", "api ami-new"}, {"ami-1", "ami-0"}},
		[][]string{from.made, from.launched, from.removed}); diff != "" {
		t.Errorf("made, launched and removed (-want +got):\n%s", diff)
	}
	wantTags := map[string]string{
		"deploy-action:app": "ai-server", "deploy-action:release": imageRelease, "deploy-action:run": "7",
		"deploy-action:groups": "web, api",
	}
	if diff := cmp.Diff(wantTags, from.tags); diff != "" || !strings.HasPrefix(from.name, "ai-server-"+imageRelease+"-") {
		t.Errorf("name %s (-want +got):\n%s", from.name, diff)
	}
	if want := "deploy-action app=ai-server release=" + imageRelease + " run=7 at="; !strings.HasPrefix(from.why, want) ||
		madeBy.FindStringSubmatch(from.why) == nil {
		t.Errorf("description %q", from.why)
	}
	for _, want := range []string{
		"✓ templates: web launches version 3 ($Latest) of lt-1; api launches",
		"✓ image: ami-new of i-1, with " + imageRelease,
		"✓ image: web launches it; api launches it; 2 old ones deleted",
		"the image ami-new and its snapshots are not encrypted",
	} {
		if !strings.Contains(log, want) {
			t.Errorf("the log lacks %q:\n%s", want, log)
		}
	}
	if strings.LastIndex(log, "✓ unlock") > strings.LastIndex(log, "✓ image") || !strings.Contains(state, StateEnded) {
		t.Errorf("state %s\n%s", state, log)
	}
}

func TestImagesThatAreThereAlready(t *testing.T) {
	for _, tt := range []struct {
		name           string
		do             func(*inputs.Inputs, *fakeImages)
		made, launched string
		removed        string
		says           string
	}{
		{
			name: "of the release", launched: "web ami-4 api ami-4", removed: "ami-1 ami-0",
			says: "ami-4 has " + imageRelease + " already",
			do: func(_ *inputs.Inputs, f *fakeImages) {
				f.own = append([]images.Image{own("ami-4", imageRelease)}, f.own...)
			},
		},
		{
			name: "which is launched", removed: "ami-2 ami-1 ami-0",
			says: "✓ image: ami-4 is what is launched already; 3 old ones deleted",
			do: func(_ *inputs.Inputs, f *fakeImages) {
				f.own = append([]images.Image{own("ami-4", imageRelease)}, f.own...)
				f.groups[0].InUse.Image, f.groups[1].InUse.Image = "ami-4", "ami-4"
			},
		},
		{
			name: "in a rollback, where older ones are needed", launched: "web ami-0 api ami-0", removed: "ami-1",
			says: "ami-0 has 2026",
			do: func(in *inputs.Inputs, f *fakeImages) {
				in.Operation = inputs.Rollback
				f.own[3] = own("ami-0", "20261121T000000Z-9999999")
			},
		},
		{
			name: "but not for the host of another application, whose image has more", made: "i-1",
			launched: "web ami-new api ami-new", removed: "ami-1 ami-0", says: "✓ image: ami-new of i-1",
			do: func(_ *inputs.Inputs, f *fakeImages) {
				f.own[0] = own("ami-3", imageRelease)
				f.groups[1].InUse.Description = "deploy-action app=other release=x run=3 at=1999-11-28T00:00:00Z"
			},
		},
		{
			name: "but can't be launched", made: "i-1", launched: "web ami-new api ami-new", removed: "ami-4 ami-1 ami-0",
			says: "3 old ones",
			do: func(_ *inputs.Inputs, f *fakeImages) {
				failed, pending := own("ami-4", imageRelease), own("ami-5", "r5")
				failed.State, pending.State = "failed", images.Pending
				f.own = append([]images.Image{pending, failed}, f.own...)
			},
		},
		{
			name: "but are for other groups", made: "i-1", launched: "web ami-new api ami-new",
			says: "✓ image: web launches it; api launches it",
			do: func(_ *inputs.Inputs, f *fakeImages) {
				f.own[0] = own("ami-3", imageRelease)
				for i := range f.own {
					f.own[i].Tags[tagGroups] = "web, staging"
				}
			},
		},
		{
			name: "of a newer run, in one group", made: "i-1", launched: "web ami-new", removed: "ami-1",
			says: "✓ image: api launches what a newer run has made; web launches it; 1 old ones deleted",
			do: func(_ *inputs.Inputs, f *fakeImages) {
				f.groups[1].InUse = images.Version{
					Image: "ami-0", Description: "deploy-action app=ai-server release=x run=3 at=2999-11-28T00:00:00Z",
				}
			},
		},
		{
			name: "of an older run", made: "i-1", launched: "web ami-new api ami-new", removed: "ami-1 ami-0",
			says: "api launches it",
			do: func(_ *inputs.Inputs, f *fakeImages) {
				f.groups[1].InUse.Description = "deploy-action app=ai-server release=x run=9 at=1999-11-28T00:00:00Z"
			},
		},
	} {
		t.Run(tt.name, func(t *testing.T) {
			fl, in, from := newFleet(t, 2), imageInputs(), newImages()
			tt.do(in, from)
			_, log, _, err := fl.imaging(t, in, from, 0)
			got := [3]string{strings.Join(from.made, " "), strings.Join(from.launched, " "), strings.Join(from.removed, " ")}
			diff := cmp.Diff([3]string{tt.made, tt.launched, tt.removed}, got)
			if err != nil || diff != "" || !strings.Contains(log, tt.says) {
				t.Errorf("%v; want %q; made, launched and removed (-want +got):\n%s\n%s", err, tt.says, diff, log)
			}
		})
	}
}

// Whatever befalls the image, the release is live.
func TestWhatBefallsAnImage(t *testing.T) {
	denied, refused := errors.New("the role must be allowed ec2:It"), []string{"image: the role must be allowed ec2:It"}
	for _, tt := range []struct {
		name     string
		do       func(*fakeImages)
		cancelOn int
		says     []string
		made     bool // it is launched all the same
	}{
		{name: "nobody may list images", do: func(f *fakeImages) { f.fails["Tagged 2"] = denied }, says: refused},
		{name: "nobody may make it", do: func(f *fakeImages) { f.fails["Make"] = denied }, says: refused},
		{name: "nobody tells of it", do: func(f *fakeImages) { f.fails["Of"] = denied }, says: refused},
		{
			name: "it can't be launched", do: func(f *fakeImages) { f.states = []images.State{images.Pending, "failed"} },
			says: []string{"image: the image ami-new can't be launched, AWS says that it is failed: no room"},
		},
		{
			name: "it vanishes", do: func(f *fakeImages) { f.states = []images.State{images.Pending, images.Unknown} },
			says: []string{"image: the image ami-new is gone: somebody has deregistered it"},
		},
		{
			name: "it takes too long", do: func(f *fakeImages) { f.states = []images.State{images.Pending} },
			says: []string{
				"ami-new is not available yet, after 1m0s", "ami-new is not available yet, after 24m0s",
				"image: the image ami-new is not available after 25m0s: the next deployment of this release waits for it again",
			},
		},
		{
			name: "the run is cancelled", do: func(f *fakeImages) { f.states = []images.State{images.Pending} }, cancelOn: 3,
			says: []string{"image: cancelled"},
		},
		{
			name: "nobody may have it launched", do: func(f *fakeImages) { f.fails["Launch"] = denied }, says: refused,
			made: true,
		},
		{
			name: "nobody may delete old ones", do: func(f *fakeImages) { f.fails["Remove"] = denied }, made: true,
			says: []string{
				"✓ image: web launches it; api launches it (",
				"image: the groups launch the new one, and old ones stay, and are paid for: the role must",
			},
		},
	} {
		t.Run(tt.name, func(t *testing.T) {
			fl, from := newFleet(t, 2), newImages()
			tt.do(from)
			result, log, state, err := fl.imaging(t, imageInputs(), from, tt.cancelOn)
			held := fl[0].holder + fl[1].holder
			if err != nil || result.Outcome != outcome.Deployed || fl.flags() != "8081 8081" || held != "" {
				t.Fatalf("%v, %+v, flags %s\n%s", err, result, fl.flags(), log)
			}
			for _, want := range append(tt.says, "::warning") {
				if !strings.Contains(log, want) {
					t.Errorf("the log lacks %q:\n%s", want, log)
				}
			}
			same := "Could not image::the new version is live; what the groups launch has the release of before"
			if strings.Contains(log, same) == (tt.made && from.fails["Launch"] == nil) || !strings.Contains(state, StateEnded) {
				t.Errorf("state %s\n%s", state, log)
			}
			if (len(from.launched) > 0) != tt.made || len(from.removed) > 1 {
				t.Errorf("launched %v, removed %v", from.launched, from.removed)
			}
		})
	}
}

// A run that is cancelled before an image is begun begins none.
func TestACancelledRunMakesNoImage(t *testing.T) {
	fl, from := newFleet(t, 2), newImages()
	fl[1].faults["prune"] = fault{kind: "cancel"}
	_, log, _, err := fl.imaging(t, imageInputs(), from, 0)
	if err != nil || from.made != nil || strings.Count(log, "Could not image") != 1 || !strings.Contains(log, "image: ") {
		t.Errorf("%v, made %v\n%s", err, from.made, log)
	}
}

// The first host is lost after the release is live: the second has it, too.
func TestTheNextHostIsImaged(t *testing.T) {
	fl, from := newFleet(t, 2), newImages()
	fl[0].faults["prune"] = fault{kind: "gone-before"}
	_, log, _, err := fl.imaging(t, imageInputs(), from, 0)
	if err != nil || strings.Join(from.made, " ") != "i-2" {
		t.Errorf("%v, made %v\n%s", err, from.made, log)
	}
}

// What is launched of an image of the host that starts the jobs by the clock would start them, too.
func TestAHostWithoutTimersIsImaged(t *testing.T) {
	const warning = "i-1 starts the jobs by the clock, and this run has no other host to make an image of: " +
		"what is launched of ami-new starts them, too"
	for _, tt := range []struct {
		name string
		do   func(*inputs.Inputs, fakeFleet)
		made string
		says bool
	}{
		{"a deployment", func(in *inputs.Inputs, _ fakeFleet) { in.Jobs = withJobs().Jobs }, "i-2", false},
		{"of what has none any more", func(_ *inputs.Inputs, fl fakeFleet) { fl[0].schedule = oldTimers }, "i-1", false},
		{"a rollback", func(in *inputs.Inputs, fl fakeFleet) {
			in.Operation, fl[0].schedule, fl[0].timers[oldRelease] = inputs.Rollback, oldTimers, oldTimers
		}, "i-2", false},
		{"there is no other", func(in *inputs.Inputs, fl fakeFleet) {
			in.Jobs = withJobs().Jobs
			fl[1].faults["prune"] = fault{kind: "gone-before"}
		}, "i-1", true},
	} {
		t.Run(tt.name, func(t *testing.T) {
			fl, from, in := newFleet(t, 2), newImages(), imageInputs()
			tt.do(in, fl)
			_, log, _, err := fl.imaging(t, in, from, 0)
			if err != nil || strings.Join(from.made, " ") != tt.made || strings.Contains(log, warning) != tt.says {
				t.Errorf("%v, made %v\n%s", err, from.made, log)
			}
		})
	}
}

// What came meanwhile gets the release in one more pass, before the run waits for the image, in which
// time another run may have the hosts. That pass makes no second image.
func TestWhatCameMeanwhileMakesNoImage(t *testing.T) {
	fl, from := newFleet(t, 3), newImages()
	from.came = foundAs(1, 2, 3)
	from.onOf = func(int) {
		if fl[2].flag != "8081" {
			t.Error("the run waits for the image first")
		}
	}
	_, log, _, err := fl.imaging(t, imageInputs(), from, 0)
	if err != nil || strings.Join(from.made, " ") != "i-1" || fl[2].flag != "8081" ||
		strings.Count(log, "✓ templates") != 1 {
		t.Errorf("%v, made %v\n%s", err, from.made, log)
	}
}

func TestGroupsThatCanNotLaunchAnImage(t *testing.T) {
	for _, asked := range []string{"open", "Groups", "Tagged 1"} {
		t.Run(asked, func(t *testing.T) {
			fl, in, from := newFleet(t, 2), imageInputs(), newImages()
			from.fails[asked] = errors.New("AWS says no")
			_, log, _, err := fl.imaging(t, in, from, 0)
			if err == nil || !strings.Contains(err.Error(), "templates: AWS says no") || fl.flags() != "8080 8080" ||
				fl[0].ran("setup") || !strings.Contains(err.Error(), "#images-for-a-group") {
				t.Errorf("%v\n%s", err, log)
			}
		})
	}
}

// None of the hosts is one that AWS could make an image of.
func TestAnImageNeedsAnInstance(t *testing.T) {
	fl := newFleet(t, 1)
	in := fl.inputs()
	in.LaunchImage = true
	_, log, err := fl.deploy(t, in)
	if err == nil || !strings.Contains(err.Error(), "templates: there is no host to make an image of") {
		t.Errorf("%v\n%s", err, log)
	}
}

// An image has the environment that its host had: of the release that serves there is one already, which is
// not as good.
func TestARestartWithAnotherEnvironmentMakesAnImage(t *testing.T) {
	for name, do := range map[string]func(*inputs.Inputs){
		"env":      func(in *inputs.Inputs) { in.Env = []inputs.Variable{{Name: "TOKEN", Value: "new"}} },
		"the same": func(*inputs.Inputs) {},
	} {
		t.Run(name, func(t *testing.T) {
			fl, in, from := newFleet(t, 2), imageInputs(), newImages()
			in.Operation = inputs.Restart
			do(in)
			const serving = "20261122T000000Z-aaaaaaa"
			from.own[1].Tags[tagRelease] = serving
			_, log, _, err := fl.imaging(t, in, from, 0)
			want := ""
			if name == "env" {
				want = "i-1: web ami-new api ami-new"
			}
			got := strings.Trim(strings.Join(from.made, " ")+": "+strings.Join(from.launched, " "), ": ")
			if err != nil || got != want || want != "" && from.tags[tagRelease] != serving {
				t.Errorf("%v: %q of %s, want %q of %s\n%s", err, got, from.tags[tagRelease], want, serving, log)
			}
		})
	}
}

func TestARestartWithoutItsImageSaysSo(t *testing.T) {
	fl, in, from := newFleet(t, 2), imageInputs(), newImages()
	in.Operation, in.Env = inputs.Restart, []inputs.Variable{{Name: "TOKEN", Value: "new"}}
	from.fails["Launch"] = errors.New("no")
	result, log, _, err := fl.imaging(t, in, from, 0)
	if err != nil || result.Outcome != outcome.Restarted || !strings.Contains(log, "Could not image::the hosts have the "+
		"environment of this run; what the groups launch has the one of before, until this restart is run again") {
		t.Errorf("%v, %+v\n%s", err, result, log)
	}
}

func TestWhoMakesNoImage(t *testing.T) {
	for name, do := range map[string]func(*inputs.Inputs){
		"nobody wants one": func(in *inputs.Inputs) { in.LaunchImage = false },
		"a restart":        func(in *inputs.Inputs) { in.Operation = inputs.Restart },
		"a dry run":        func(in *inputs.Inputs) { in.DryRun = true },
		"a check":          func(in *inputs.Inputs) { in.Operation = inputs.Check },
		"the status":       func(in *inputs.Inputs) { in.Operation = inputs.Status },
	} {
		t.Run(name, func(t *testing.T) {
			fl, in, from := newFleet(t, 2), imageInputs(), newImages()
			do(in)
			_, log, _, err := fl.imaging(t, in, from, 0)
			looks := in.DryRun || in.Operation == inputs.Check
			if err != nil || from.made != nil || from.launched != nil || strings.Contains(log, "✓ image") ||
				strings.Contains(log, "✓ templates: web launches") != looks {
				t.Errorf("%v\n%s", err, log)
			}
		})
	}
}
