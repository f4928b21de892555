package deploy

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/clothesme/deploy-action/internal/cloud/group"
	"github.com/clothesme/deploy-action/internal/inputs"
	"github.com/clothesme/deploy-action/internal/report"
	"github.com/clothesme/deploy-action/remote"
)

// fakeGroup is a security group.
type fakeGroup struct {
	mu    sync.Mutex
	rules []group.Rule
	made  int
	fails map[string]error // by what is asked
	loses bool             // the answer to what it has done
}

func (g *fakeGroup) Allow(_ context.Context, r group.Rule) (group.Rule, error) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if err := g.fails["allow"]; err != nil {
		return r, err
	}
	for _, other := range g.rules {
		if other.Port == r.Port && other.From == r.From {
			return other, group.ErrThere
		}
	}
	g.made++
	r.ID = fmt.Sprintf("sgr-%d", g.made)
	g.rules = append(g.rules, r)
	if g.loses {
		return r, errors.New("no answer")
	}
	return r, nil
}

func (g *fakeGroup) Rules(context.Context) ([]group.Rule, error) {
	g.mu.Lock()
	defer g.mu.Unlock()
	return slices.Clone(g.rules), g.fails["rules"]
}

func (g *fakeGroup) Revoke(_ context.Context, id string) error {
	g.mu.Lock()
	defer g.mu.Unlock()
	if err := g.fails["revoke"]; err != nil {
		return err
	}
	g.rules = slices.DeleteFunc(g.rules, func(r group.Rule) bool { return r.ID == id })
	return nil
}

// fail answers what is asked from now on with an error, or none.
func (g *fakeGroup) fail(asked string, err error) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.fails[asked] = err
}

// ids are those of the rules that are there.
func (g *fakeGroup) ids() string {
	var ids []string
	for _, r := range g.rules {
		ids = append(ids, r.ID)
	}
	return strings.Join(ids, " ")
}

// doorTo returns a door, what it prints and where its state is saved.
func doorTo(t *testing.T, g *fakeGroup, in *inputs.Inputs) (d *door, log *bytes.Buffer, saved func() string) {
	t.Helper()
	state := filepath.Join(t.TempDir(), "state")
	log = new(bytes.Buffer)
	in.SecurityGroup, in.Run.ID = "sg-1", "4711"
	d = newDoor(in, report.New(log, func(name string) string {
		return map[string]string{"GITHUB_STATE": state, "GITHUB_ACTIONS": "true"}[name]
	}), nil)
	d.group = func(context.Context) (Group, error) { return g, nil }
	d.address = func(context.Context) (netip.Addr, error) { return netip.MustParseAddr("203.0.113.7"), nil }
	return d, log, func() string {
		text, _ := os.ReadFile(state)
		lines := strings.Split(strings.TrimSpace(string(text)), "\n") // name<<delimiter, value, delimiter
		return lines[max(0, len(lines)-2)]
	}
}

func TestTheDoorIsOpenWhileAnybodyLogsIn(t *testing.T) {
	g := &fakeGroup{}
	in := testInputs()
	in.Hosts = []remote.Host{{Name: "a", Port: 22}, {Name: "b", Port: 2222}, {Name: "c"}}
	d, log, saved := doorTo(t, g, in)
	first, err := d.Open(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if saved() != d.id {
		t.Errorf("%q is saved, want %q", saved(), d.id)
	}
	second, err := d.Open(t.Context())
	if err != nil || g.ids() != "sgr-1 sgr-2" || g.rules[0].Port != 22 || g.rules[1].Port != 2222 ||
		g.rules[0].From.String() != "203.0.113.7/32" ||
		!strings.HasPrefix(g.rules[0].Description, "deploy-action run=4711 exp=") {
		t.Fatalf("rules %+v, %v", g.rules, err)
	}
	first()
	if g.ids() != "sgr-1 sgr-2" {
		t.Error("it was shut on somebody")
	}
	second()
	if g.ids() != "" || saved() != "" {
		t.Errorf("left open: %s; %q is saved", g.ids(), saved())
	}
	third, err := d.Open(t.Context()) // for a connection that was lost
	if err != nil || g.ids() != "sgr-3 sgr-4" || saved() != d.id {
		t.Errorf("rules %q, %v", g.ids(), err)
	}
	third()
	if g.ids() != "" || saved() != "" ||
		!strings.Contains(log.String(), "tcp/22 from 203.0.113.7/32 is let in, by rule sgr-1") {
		t.Errorf("left open: %s\n%s", g.ids(), log)
	}
}

func TestOnlyTheWayInIsOpened(t *testing.T) {
	g := &fakeGroup{}
	in := testInputs()
	in.Jumps = []remote.Jump{{Host: remote.Host{Name: "bastion", Port: 2022}}}
	in.RunnerCIDR = "198.51.100.0/28"
	d, _, _ := doorTo(t, g, in)
	d.address = func(context.Context) (netip.Addr, error) { return netip.Addr{}, errors.New("nobody has to be asked") }
	shut, err := d.Open(t.Context())
	if err != nil || len(g.rules) != 1 || g.rules[0].String() != "tcp/2022 from 198.51.100.0/28" {
		t.Fatalf("%+v, %v", g.rules, err)
	}
	shut()
}

// What is somebody else's stays, and what a run has left that is over goes.
func TestLeftoversAreSweptAndOthersStay(t *testing.T) {
	other := netip.MustParsePrefix("192.0.2.1/32")
	rule := func(id, description string) group.Rule {
		return group.Rule{ID: id, Port: 22, From: other, Description: description}
	}
	past, coming := time.Now().Add(-time.Second).Unix(), time.Now().Add(time.Hour).Unix()
	g := &fakeGroup{rules: []group.Rule{
		rule("foreign", "office"), rule("empty", ""),
		rule("living", fmt.Sprintf("deploy-action run=1 exp=%d id=ABC", coming)),
		rule("dead", fmt.Sprintf("deploy-action run=2 exp=%d id=DEF", past)),
		rule("alike", fmt.Sprintf("deploy-action run=3 exp=%d id=GHI, see wiki", past)),
	}}
	d, log, _ := doorTo(t, g, testInputs())
	shut, err := d.Open(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	shut()
	if g.ids() != "foreign empty living alike" || !strings.Contains(log.String(), "rule dead") {
		t.Errorf("left: %s\n%s", g.ids(), log)
	}
}

func TestADuplicateIsUsedAndLeft(t *testing.T) {
	g := &fakeGroup{rules: []group.Rule{{ID: "foreign", Port: 22, From: netip.MustParsePrefix("203.0.113.7/32")}}}
	d, log, saved := doorTo(t, g, testInputs())
	shut, err := d.Open(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	shut()
	if g.ids() != "foreign" || saved() != "" || !strings.Contains(log.String(), "is let in already") {
		t.Errorf("left: %s, saved %q\n%s", g.ids(), saved(), log)
	}
}

// Two runs behind one address need the same rule. The one that is through first takes its rule away, while the
// other one still logs in.
func TestARunThatEndsShutsNoOtherOneOut(t *testing.T) {
	for name, fails := range map[string]bool{"": false, "AWS does not answer at first": true} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				g := &fakeGroup{fails: map[string]error{}}
				first, _, _ := doorTo(t, g, testInputs())
				second, log, saved := doorTo(t, g, testInputs())
				shutFirst, err := first.Open(t.Context())
				if err != nil {
					t.Fatal(err)
				}
				ctx, cancel := context.WithCancel(t.Context())
				shut, err := second.Open(ctx)
				if err != nil {
					t.Fatal(err)
				}
				cancel() // of one login, others go on
				shutFirst()
				if fails {
					g.fail("allow", errors.New("no answer"))
					time.Sleep(1500 * time.Millisecond)
					g.fail("allow", nil)
				}
				time.Sleep(1500 * time.Millisecond)
				synctest.Wait()
				if g.ids() != "sgr-2" || saved() != second.id || !strings.Contains(log.String(), "is let in already, by a rule "+
					"of run 4711; this run makes its own as soon as that is gone") {
					t.Errorf("open: %q, saved %q\n%s", g.ids(), saved(), log)
				}
				shut()
				time.Sleep(3 * time.Second)
				synctest.Wait()
				if g.ids() != "" || saved() != "" {
					t.Errorf("left: %q, saved %q\n%s", g.ids(), saved(), log)
				}
			})
		})
	}
}

func TestADoorThatDoesNotOpen(t *testing.T) {
	for name, tt := range map[string]struct {
		group *fakeGroup
		want  string
	}{
		"denied to look":    {&fakeGroup{fails: map[string]error{"rules": errors.New("denied")}}, "denied"},
		"denied":            {&fakeGroup{fails: map[string]error{"allow": errors.New("denied")}}, "denied"},
		"an answer is lost": {&fakeGroup{loses: true}, "no answer"},
	} {
		t.Run(name, func(t *testing.T) {
			d, log, saved := doorTo(t, tt.group, testInputs())
			if _, err := d.Open(t.Context()); err == nil || !strings.Contains(err.Error(), tt.want) {
				t.Errorf("err = %v", err)
			}
			if tt.group.ids() != "" || saved() != "" {
				t.Errorf("left open: %s, saved %q\n%s", tt.group.ids(), saved(), log)
			}
		})
	}
}

func TestWhatCanNotBeShutIsThePostSteps(t *testing.T) {
	g := &fakeGroup{fails: map[string]error{}}
	d, log, saved := doorTo(t, g, testInputs())
	ctx, cancel := context.WithCancel(t.Context())
	shut, err := d.Open(ctx)
	if err != nil {
		t.Fatal(err)
	}
	g.fails["revoke"] = errors.New("throttled")
	cancel() // which takes it away, too
	shut()
	if g.ids() != "sgr-1" || saved() != d.id || !strings.Contains(log.String(), "::warning title=Left open::") {
		t.Fatalf("left: %q, saved %q\n%s", g.ids(), saved(), log)
	}
	g.rules = append(g.rules, group.Rule{ID: "foreign", Port: 22, Description: "deploy-action run=4711 exp=1 id=ABC"})
	post, _, _ := doorTo(t, g, testInputs())
	if err := post.shutOf(t.Context(), d.id); err == nil || !strings.Contains(err.Error(), "throttled") {
		t.Errorf("err = %v", err)
	}
	delete(g.fails, "revoke")
	if err := post.shutOf(t.Context(), d.id); err != nil || g.ids() != "foreign" {
		t.Errorf("left: %s, %v", g.ids(), err)
	}
}

// A rule that could not be taken away is used by the next login only where that fails once more.
func TestARuleThatIsLeftIsTakenAwayAtTheNextLogin(t *testing.T) {
	for _, again := range []bool{false, true} {
		g := &fakeGroup{fails: map[string]error{}}
		d, log, saved := doorTo(t, g, testInputs())
		shut, err := d.Open(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		g.fails["revoke"] = errors.New("throttled")
		shut()
		if !again {
			delete(g.fails, "revoke")
		}
		if shut, err = d.Open(t.Context()); err != nil {
			t.Fatal(err)
		}
		want := "sgr-2"
		if again {
			want = "sgr-1"
		}
		if g.ids() != want || saved() != d.id || strings.Contains(log.String(), "is not this run's") ||
			strings.Contains(log.String(), "is let in still, by rule sgr-1") != again {
			t.Errorf("again %t: rules %s, %q is saved\n%s", again, g.ids(), saved(), log)
		}
		delete(g.fails, "revoke")
		shut()
		if g.ids() != "" || saved() != "" {
			t.Errorf("again %t: left open: %s; %q is saved", again, g.ids(), saved())
		}
	}
}

func TestHowLongARuleIsLeftAlone(t *testing.T) {
	in := testInputs()
	in.ConnectTimeout = 30 * time.Second
	d, _, _ := doorTo(t, &fakeGroup{}, in)
	for hosts, want := range map[int]time.Duration{0: 90 * time.Second, 8: 90 * time.Second, 9: 150 * time.Second} {
		in.Hosts = make([]remote.Host, hosts)
		if got := d.lasts(); got != want {
			t.Errorf("%d hosts: %s, want %s", hosts, got, want)
		}
	}
}
