package deploy

import (
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/clothesme/deploy-action/internal/cloud/targets"
	"github.com/clothesme/deploy-action/internal/inputs"
	"github.com/clothesme/deploy-action/internal/outcome"
)

// asked are targets of which each is asked a question.
func asked(q *targets.Question, states ...targets.State) *fakeBalancers {
	b := seen(states...)
	for i := range b.before {
		b.before[i].Asked = q
	}
	return b
}

func healthQuestion() *targets.Question {
	return &targets.Question{Scheme: "http", Port: 80, Path: "/health", Patience: 5 * time.Second, Wanted: "200-299"}
}

func TestTheSiteIsAskedAsTheLoadBalancerAsks(t *testing.T) {
	const title = "::warning title=Health check of web-2::"
	slow := healthQuestion()
	slow.Patience = time.Minute
	for _, tt := range []struct {
		name         string
		question     *targets.Question
		state        targets.State // of the second host's target
		prepare      func(*fakeHost)
		asked        []string // of the second host
		warns        []string
		warnsNothing bool
	}{
		{
			name: "right", question: healthQuestion(), state: targets.Healthy, prepare: func(*fakeHost) {},
			asked: []string{"http 10.0.0.2 80 5 /health"}, warnsNothing: true,
		},
		{
			name: "wrong, and right by its name", question: healthQuestion(), state: "unhealthy",
			prepare: func(f *fakeHost) { f.byAddress = "HTTP/1.1 404 Not Found" },
			asked:   []string{"http 10.0.0.2 80 5 /health"},
			warns: []string{
				"target group web asks web-2 for GET /health at port 80, with its private address in the place of a name, and " +
					"wants status 200-299; what it gets is 404 Not Found. Asked by the name ",
				" it is 200 OK, so another server block of nginx answers",
			},
		},
		{
			name: "wrong by any name", question: healthQuestion(), state: "unhealthy",
			prepare: func(f *fakeHost) { f.byAddress, f.byName = "HTTP/1.1 404 Not Found", "HTTP/2 301" },
			asked:   []string{"http 10.0.0.2 80 5 /health"},
			warns: []string{
				"what it gets is 404 Not Found", " it is 301: set the group's health check to what the application answers",
			},
		},
		{
			name: "no answer", question: healthQuestion(), state: "unhealthy",
			prepare: func(f *fakeHost) { f.byAddress = "curl: (7) Failed to connect" },
			asked:   []string{"http 10.0.0.2 80 5 /health"},
			warns:   []string{"what it gets is no answer (curl: (7) Failed to connect)"},
		},
		{
			name: "no answer yet, and the load balancer waits for longer", question: slow, state: targets.Healthy,
			prepare: func(f *fakeHost) { f.byAddress = "curl: (28) Operation timed out" },
			asked:   []string{"http 10.0.0.2 80 20 /health"}, warnsNothing: true,
		},
		{
			name: "nothing is deployed yet", question: healthQuestion(), state: "unhealthy",
			prepare:      func(f *fakeHost) { f.flag, f.loaded, f.running = "", false, map[string]bool{} },
			warnsNothing: true,
		},
		{name: "no HTTP", question: nil, state: targets.Healthy, prepare: func(*fakeHost) {}, warnsNothing: true},
		{
			name: "no listener uses the group", question: healthQuestion(), state: targets.Unused,
			prepare: func(f *fakeHost) { f.byAddress = "HTTP/1.1 404 Not Found" }, warnsNothing: true,
		},
	} {
		t.Run(tt.name, func(t *testing.T) {
			fl, in := newFleet(t, 3), gatedInputs()
			in.TargetTimeout = time.Minute
			tt.prepare(fl[1])
			_, log, err := fl.gated(t, in, asked(tt.question, targets.Healthy, tt.state, targets.Healthy))
			if err != nil {
				t.Fatalf("%v\n%s", err, log)
			}
			if diff := cmp.Diff(tt.asked, fl[1].balanced); diff != "" {
				t.Errorf("asked (-want +got):\n%s", diff)
			}
			warned := strings.Contains(log, "Health check of ")
			if warned == tt.warnsNothing || warned && !strings.Contains(log, title) {
				t.Errorf("the log has\n%s", log)
			}
			for _, want := range tt.warns {
				if !strings.Contains(log, want) {
					t.Errorf("the log lacks %q:\n%s", want, log)
				}
			}
		})
	}
}

// With check, and in a dry run, too.
func TestAskingAsTheLoadBalancerChangesNothing(t *testing.T) {
	for name, change := range map[string]func(*inputs.Inputs){
		"check":   func(in *inputs.Inputs) { in.Operation = inputs.Check },
		"dry run": func(in *inputs.Inputs) { in.DryRun = true },
	} {
		t.Run(name, func(t *testing.T) {
			fl, in := newFleet(t, 3), gatedInputs()
			change(in)
			fl[2].byAddress = "HTTP/1.1 302 Found"
			b := asked(healthQuestion(), targets.Healthy, targets.Healthy, "unhealthy")
			result, log, err := fl.gated(t, in, b)
			if err != nil || !strings.Contains(log, "::warning title=Health check of web-3::") || fl.switched() != "0 0 0" {
				t.Errorf("%v, switched %s\n%s", err, fl.switched(), log)
			}
			want := "#### Targets of the load balancer\n\n| host | target | group | seen as |\n|---|---|---|---|\n" +
				"| web-3 | i-3:80 | web | unhealthy |\n| web-1 | web-1:80 | web | healthy |\n" +
				"| web-2 | 10.0.0.2:80 | web | healthy |\n"
			if !strings.Contains(result.Details, want) || b.listed != 1 {
				t.Errorf("asked %d times; the summary has\n%s\nwant\n%s", b.listed, result.Details, want)
			}
		})
	}
}

func TestTheSummaryHasTheTargetsInTheEnd(t *testing.T) {
	for _, tt := range []struct {
		name  string
		after []targets.Target
		err   error
		fails bool
		want  string // of the second host's row
	}{
		{name: "healthy again", want: "| web-2 | 10.0.0.2:80 | web | healthy | healthy |"},
		{
			name: "unhealthy since", after: []targets.Target{{Group: "web", ID: "10.0.0.2", Port: 80, State: "unhealthy"}},
			want: "| web-2 | 10.0.0.2:80 | web | healthy | unhealthy |",
		},
		{
			name: "taken out of the group", after: []targets.Target{{Group: "web", ID: "10.0.0.2", Port: 81, State: "healthy"}},
			want: "| web-2 | 10.0.0.2:80 | web | healthy | unused |",
		},
		{name: "AWS does not say", err: errors.New("throttled"), want: "| web-2 | 10.0.0.2:80 | web | healthy | not known |"},
		{name: "after a failure", fails: true, want: "| web-2 | 10.0.0.2:80 | web | healthy | healthy |"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			fl, in := newFleet(t, 3), gatedInputs()
			in.TargetTimeout = time.Minute
			b := seen(targets.Healthy, targets.Healthy, targets.Healthy)
			b.after = tt.after
			b.then = func(string, int) (targets.State, error) {
				b.err = tt.err
				return targets.Healthy, nil
			}
			if tt.fails {
				in.TargetTimeout = time.Millisecond
				b.then = func(string, int) (targets.State, error) { return "unhealthy", nil }
			}
			result, log, err := fl.gated(t, in, b)
			if (err != nil) != tt.fails || tt.fails && result.Outcome != outcome.Restored {
				t.Fatalf("%s, %v\n%s", result.Outcome, err, log)
			}
			if !strings.Contains(result.Details, "| host | target | group | before | in the end |\n") ||
				!strings.Contains(result.Details, tt.want) {
				t.Errorf("the summary has\n%s\nwant %s", result.Details, tt.want)
			}
		})
	}
}

// Hosts that join while the run is under way are in the one table that there is.
func TestTheSummaryHasTheTargetsOfHostsThatJoined(t *testing.T) {
	fl, in := newFleet(t, 3), gatedInputs()
	in.TargetTimeout, in.Batches = time.Minute, nil
	remembered(t, fl, in)
	b := seen(targets.Healthy, targets.Healthy, "initial")
	b.idles = []targets.Idle{{Balancer: "front", After: time.Minute}}
	result, log, err := fl.gatedAs(t, in, b, foundAs(1, 2), foundAs(1, 2, 3))
	if err != nil || fl.flags() != "8081 8081 8081" {
		t.Fatalf("%v, flags %s\n%s", err, fl.flags(), log)
	}
	if n := strings.Count(result.Details, "#### Targets"); n != 1 || strings.Count(result.Details, "\n| web-") != 3 ||
		!strings.Contains(result.Details, "| web-3 | i-3:80 | web | initial |") {
		t.Errorf("%d tables:\n%s", n, result.Details)
	}
	if n := strings.Count(log, "::notice title=Idle time-out::"); n != 1 {
		t.Errorf("%d notices", n)
	}
}

func TestManyTargetsInTheSummary(t *testing.T) {
	fl, in := newFleet(t, 3), gatedInputs()
	in.TargetTimeout = time.Minute
	b := seen(targets.Healthy)
	for port := range uint16(60) {
		b.before = append(b.before, targets.Target{Group: "web", ID: "i-3", Port: 9000 + int(port), State: "unhealthy"})
	}
	result, log, err := fl.gated(t, in, b)
	if err != nil {
		t.Fatalf("%v\n%s", err, log)
	}
	rows := strings.Count(result.Details, "\n| web-")
	if rows != mostRows || !strings.Contains(result.Details, "\nand 11 more, 1 of them healthy\n") {
		t.Errorf("%d rows:\n%s", rows, result.Details)
	}
}

func TestALoadBalancerThatIsLessPatient(t *testing.T) {
	const notice = "::notice title=Idle time-out::"
	for _, tt := range []struct {
		name  string
		idles []targets.Idle
		err   error
		says  string
		not   string
	}{
		{
			name:  "one of two",
			idles: []targets.Idle{{Balancer: "front", After: time.Minute}, {Balancer: "inner", After: time.Hour}},
			says: notice + "a load balancer gives up on an answer of which nothing has come (front after 1m0s; its attribute " +
				"idle_timeout.timeout_seconds), while nginx waits for 5m0s (the input \"response-timeout\")",
		},
		{name: "as patient", idles: []targets.Idle{{Balancer: "front", After: 5 * time.Minute}}, not: notice},
		{
			name: "it may not be asked", err: errors.New("the role must be allowed it"), not: notice,
			says: "the idle time-outs of the load balancers are not known, and not compared with the input " +
				"\"response-timeout\": the role must be allowed it\n",
		},
	} {
		t.Run(tt.name, func(t *testing.T) {
			fl, in := newFleet(t, 3), gatedInputs()
			in.TargetTimeout = time.Minute
			b := seen(targets.Healthy, targets.Healthy, targets.Healthy)
			b.idles, b.noIdle = tt.idles, tt.err
			_, log, err := fl.gated(t, in, b)
			if err != nil || !strings.Contains(log, tt.says) || tt.not != "" && strings.Contains(log, tt.not) {
				t.Errorf("%v; want %q, not %q\n%s", err, tt.says, tt.not, log)
			}
			if n := strings.Count(log, notice); tt.not == "" && n != 1 {
				t.Errorf("%d notices", n)
			}
		})
	}
}
