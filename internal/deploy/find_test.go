package deploy

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/clothesme/deploy-action/internal/cloud"
	"github.com/clothesme/deploy-action/internal/cloud/instances"
	"github.com/clothesme/deploy-action/internal/inputs"
	"github.com/clothesme/deploy-action/internal/outcome"
	"github.com/clothesme/deploy-action/internal/report"
	"github.com/clothesme/deploy-action/remote"
)

// fakeInstances is what AWS finds, one answer a time, nil for none; the last one stays.
type fakeInstances struct {
	answers []*instances.Found
	err     error
	asked   []instances.Wanted
	again   func() // is called as it is asked for the second time
	asks    int

	mu     sync.Mutex
	hooks  []instances.Hook
	asking []error  // that come of asking for them before they are told
	held   []string // the words that hooks got
	denied error    // what comes of letting go
	deaf   error    // and of holding
}

func (f *fakeInstances) Hooks(context.Context, string) ([]instances.Hook, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if len(f.asking) > 0 {
		err := f.asking[0]
		f.asking = f.asking[1:]
		return nil, err
	}
	return f.hooks, nil
}

func (f *fakeInstances) Hold(_ context.Context, h instances.Hook, id string) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.held = append(f.held, "hold "+h.Name+" "+id)
	return f.deaf
}

func (f *fakeInstances) LetGo(_ context.Context, h instances.Hook, id string) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.denied == nil {
		f.held = append(f.held, "let go "+h.Name+" "+id)
	}
	return f.denied
}

func (f *fakeInstances) Find(_ context.Context, lines []instances.Wanted) (*instances.Found, error) {
	f.asked = lines
	if f.asks++; f.asks == 2 && f.again != nil {
		f.again()
	}
	if f.err != nil {
		return nil, f.err
	}
	found := f.answers[0]
	if len(f.answers) > 1 {
		f.answers = f.answers[1:]
	}
	if found == nil {
		return nil, errors.New("AWS does not answer")
	}
	return found, nil
}

// foundAs are hosts of a fleet, by their numbers, as AWS finds them.
func foundAs(numbers ...int) *instances.Found {
	found := &instances.Found{By: []string{fmt.Sprintf("%d by asg=web", len(numbers))}}
	for _, n := range numbers {
		found.Instances = append(found.Instances, instances.Instance{
			ID: fmt.Sprintf("i-%d", n), Zone: "eu-central-1a", State: "running", Public: fmt.Sprintf("web-%d", n),
		})
	}
	return found
}

func findInputs() *inputs.Inputs {
	in := testInputs()
	in.Hosts, in.Batches = nil, nil
	in.Instances = []inputs.Instances{{Text: "asg=web", Group: "web"}}
	in.Address, in.Expect = inputs.AddressAuto, inputs.Expected{Text: "1-", Least: 1, Most: 10}
	in.Username, in.Port = "ubuntu", 22
	return in
}

// finding runs a deployment to what AWS finds, and returns what was saved for the post step, too.
func (fl fakeFleet) finding(
	t *testing.T, in *inputs.Inputs, from *fakeInstances,
) (result *outcome.Result, log, state string, err error) {
	t.Helper()
	var text bytes.Buffer
	file := filepath.Join(t.TempDir(), "state")
	env := map[string]string{"GITHUB_STATE": file}
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	for _, f := range fl {
		f.cancel = cancel
	}
	d := New(in, report.New(&text, func(name string) string { return env[name] }), fl.dial, fl[0].open, time.Now())
	d.patience, d.launches.holdEvery, d.machine.bootPoll = 200*time.Millisecond, 20*time.Millisecond, time.Millisecond
	d.roster.openInstances = func(context.Context, *cloud.Account) (Instances, error) { return from, nil }
	result, err = d.Run(ctx)
	saved, _ := os.ReadFile(file)
	return result, text.String(), string(saved), err
}

func TestHostsAreFound(t *testing.T) {
	fl := newFleet(t, 2)
	in := findInputs()
	in.Strategy = inputs.BlueGreen
	from := &fakeInstances{answers: []*instances.Found{foundAs(2, 1)}}
	from.answers[0].Warnings = []string{"the group web has a warm pool"}
	result, log, state, err := fl.finding(t, in, from)
	if err != nil || fl.flags() != "8081 8081" {
		t.Fatalf("%v, flags %s\n%s", err, fl.flags(), log)
	}
	var got []string
	for _, h := range result.Hosts {
		got = append(got, h.Host+" "+h.InstanceID)
	}
	if diff := cmp.Diff([]string{"ubuntu@web-2 i-2", "ubuntu@web-1 i-1"}, got); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	if diff := cmp.Diff([]instances.Wanted{{Text: "asg=web", Group: "web"}}, from.asked); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	for _, want := range []string{
		"✓ find: 2 by asg=web; i-2 (web-2, eu-central-1a), i-1 (web-1, eu-central-1a)", "on ubuntu@web-2, ubuntu@web-1",
		"the group web has a warm pool",
	} {
		if !strings.Contains(log, want) {
			t.Errorf("the log lacks %q\n%s", want, log)
		}
	}

	// The post step takes up the same hosts.
	_, text, _ := strings.Cut(state, StateHosts+"<<")
	saved := strings.Split(text, "\n")[1]
	again := findInputs()
	if err := Resume(again, saved); err != nil {
		t.Fatal(err)
	}
	want := []remote.Host{
		{User: "ubuntu", Name: "web-2", Port: 22, Alias: "i-2"}, {User: "ubuntu", Name: "web-1", Port: 22, Alias: "i-1"},
	}
	if diff := cmp.Diff(want, again.Hosts); diff != "" || len(again.Instances) > 0 {
		t.Errorf("(-want +got):\n%s", diff)
	}
	if err := Resume(findInputs(), ""); err == nil {
		t.Error("nothing was saved, and the post step does not say so")
	}
	if strings.Index(state, StateHosts+"<<") > strings.Index(state, StateBegun+"<<") {
		t.Error("the run has begun before its hosts were saved")
	}
}

// Instances that the input host names take their places among its names, with the user and port that
// they have there, and count once where instances finds them, too.
func TestInstancesAmongHosts(t *testing.T) {
	fl := newFleet(t, 3)
	in := findInputs()
	in.Hosts = []remote.Host{
		{User: "admin", Name: "i-2", Port: 2222, Alias: "i-2"}, {User: "ubuntu", Name: "web-3", Port: 22},
	}
	in.Instances = append([]inputs.Instances{{Text: "i-2", ID: "i-2"}}, in.Instances...)
	result, log, state, err := fl.finding(t, in, &fakeInstances{answers: []*instances.Found{foundAs(2, 1)}})
	if err != nil {
		t.Fatalf("%v\n%s", err, log)
	}
	var got []string
	for _, h := range result.Hosts {
		got = append(got, h.Host+" "+h.InstanceID)
	}
	if diff := cmp.Diff([]string{"admin@web-2:2222 i-2", "ubuntu@web-3 ", "ubuntu@web-1 i-1"}, got); diff != "" {
		t.Errorf("(-want +got):\n%s\n%s", diff, log)
	}
	_, text, _ := strings.Cut(state, StateHosts+"<<")
	again := findInputs()
	again.Hosts = []remote.Host{{User: "admin", Name: "i-2", Port: 2222, Alias: "i-2"}}
	if err := Resume(again, strings.Split(text, "\n")[1]); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(in.Hosts, again.Hosts); diff != "" {
		t.Errorf("the post step has others (-want +got):\n%s", diff)
	}
}

func TestHostsAreNotFound(t *testing.T) {
	for _, tt := range []struct {
		name string
		from *fakeInstances
		do   func(*inputs.Inputs)
		want string
	}{
		{"AWS refuses", &fakeInstances{err: errors.New("the role must be allowed")}, nil, "find: the role must be allowed"},
		{
			"none is there", &fakeInstances{answers: []*instances.Found{foundAs()}}, nil,
			`find: input "instances": must find a host, and finds none`,
		},
		{
			"too many", &fakeInstances{answers: []*instances.Found{foundAs(1, 2)}},
			func(in *inputs.Inputs) { in.Expect = inputs.Expected{Text: "1", Least: 1, Most: 1} },
			`input "expect-hosts": must be true of the hosts that there are, and there are 2 (got "1")`,
		},
		{
			"one that host names, too", &fakeInstances{answers: []*instances.Found{foundAs(1)}},
			func(in *inputs.Inputs) { in.Hosts = []remote.Host{{User: "ubuntu", Name: "web-1", Port: 22}} },
			`finds ubuntu@web-1 (i-1), which the input "host" names already`,
		},
		{
			"one that host has by its id and by its name", &fakeInstances{answers: []*instances.Found{foundAs(1)}},
			func(in *inputs.Inputs) {
				in.Hosts = []remote.Host{
					{User: "ubuntu", Name: "web-1", Port: 22}, {User: "ubuntu", Name: "i-1", Port: 22, Alias: "i-1"},
				}
			},
			`input "host": finds ubuntu@web-1 (i-1), which the input "host" names already`,
		},
		{
			"without the address", &fakeInstances{answers: []*instances.Found{foundAs(1)}},
			func(in *inputs.Inputs) { in.Address = inputs.AddressPrivate },
			`instance i-1 has no address of the kind "private" that the input "address" asks for; what it has is public`,
		},
		{
			"several for one certificate", &fakeInstances{answers: []*instances.Found{foundAs(1, 2)}},
			func(in *inputs.Inputs) { in.HTTPS.Mail = "a@example.com" }, `input "https": is for one host`,
		},
		{
			"all may be away", &fakeInstances{answers: []*instances.Found{foundAs(1, 2)}},
			func(in *inputs.Inputs) { in.SkipUnreachable.Number = 2 },
			`input "skip-unreachable": must leave a host that has to be reachable: there are 2`,
		},
	} {
		t.Run(tt.name, func(t *testing.T) {
			fl := newFleet(t, 2)
			in := findInputs()
			if tt.do != nil {
				tt.do(in)
			}
			result, log, state, err := fl.finding(t, in, tt.from)
			var failure *outcome.Failure
			if !errors.As(err, &failure) || !strings.Contains(err.Error(), tt.want) || failure.Step != "find" ||
				result.Outcome != outcome.Failed || !strings.Contains(err.Error(), "site: unchanged; no host was dialled") {
				t.Errorf("err = %v, want %q\n%s", err, tt.want, log)
			}
			if fl[0].dials+fl[1].dials > 0 || strings.Contains(state, StateBegun) {
				t.Errorf("a host was dialled, or the run has begun: %s", state)
			}
		})
	}
}

// Where versions take each other's place, found hosts do so one by one, as others do.
func TestFoundHostsInPlace(t *testing.T) {
	fl := newFleet(t, 2)
	in := findInputs()
	in.Strategy = inputs.InPlace
	if _, log, _, err := fl.finding(t, in, &fakeInstances{answers: []*instances.Found{foundAs(1, 2)}}); err != nil {
		t.Fatalf("%v\n%s", err, log)
	}
	if len(in.Batches) != 3 || in.Batches[0].AtLeast(2) != 1 {
		t.Errorf("batches %v", in.Batches)
	}
}
