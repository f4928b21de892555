// Demo shows the whole product on one machine, in two acts. The first has a real host in a
// container, a real FastAPI application, and four deployments under continuous load, of which the
// last is a broken release that must be refused. The second has three such hosts, and a release
// that is bad on one of them: none may get it. `make demo` runs it.
package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"syscall"
	"time"

	"github.com/clothesme/deploy-action/e2e/lab"
	"github.com/clothesme/deploy-action/e2e/load"
	"github.com/clothesme/deploy-action/e2e/site"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	signal.Ignore(syscall.SIGPIPE) // whoever reads the output may die of the same signal, before all is removed
	d := &demo{out: os.Stdout, colours: isTerminal(os.Stdout)}
	err := d.run(ctx)
	if err != nil {
		fmt.Fprintln(d.out, "demo:", err)
	}
	fmt.Fprintln(d.out, closing(d.deploys, d.load.Requests, d.load.Failed))
	if err != nil {
		os.Exit(1) //nolint:gocritic // nothing is left to be done by stop
	}
}

// demo is what one run of it gathers.
type demo struct {
	out     io.Writer
	colours bool // out shows them
	deploys int
	rows    []row       // of the first act
	load    load.Report // of both
}

// version is a release of the example and what is said of its deployment.
type version struct {
	site.Release
	about string
}

var versions = []version{
	{site.Release{Version: "v1"}, "the first release, on a host that has none"},
	{site.Release{Version: "v2"}, "the next release, under load"},
	{site.Release{Version: "v3"}, "one more, back on the first port"},
	{
		site.Release{Version: "v4", Broken: "exit-at-boot"},
		"broken on purpose: it exits at its start. The error that follows is expected, and v3 goes on serving",
	},
}

func (d *demo) run(ctx context.Context) (err error) {
	l, err := lab.Open(ctx, lab.Options{Out: d.out})
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, l.Close()) }()
	shop, err := site.New(ctx, l)
	if err != nil {
		return err
	}
	var users *load.Load
	for _, v := range versions {
		result, err := d.deploy(ctx, shop, v)
		if err != nil {
			return err
		}
		if err := d.note(v, result); err != nil {
			return err
		}
		if users == nil {
			if users, err = d.visit(ctx, shop.Hosts[0], load.DefaultMix); err != nil {
				return err
			}
		}
	}
	d.load = users.Stop(ctx)
	fmt.Fprintf(d.out, "\n%s\n%s%s", table(columns, d.cells()), stillOpen(d.load.WebSockets), d.load.Details())
	if err := whole(d.load); err != nil {
		return err
	}
	return d.secondAct(ctx, shop)
}

// deploy announces a release, and deploys it to all hosts.
func (d *demo) deploy(ctx context.Context, shop *site.Site, v version) (*lab.Result, error) {
	fmt.Fprintf(d.out, "\n=== %s: %s\n", v.Version, v.about)
	d.deploys++
	result, err := shop.Deploy(ctx, v.Release, newPrinter(d.out, d.colours).line)
	if err == nil {
		err = context.Cause(ctx) // then the result is not the release's doing
	}
	return result, err
}

// visit has users on a host's site from now on.
func (d *demo) visit(ctx context.Context, h *lab.Host, mix load.Mix) (*load.Load, error) {
	users := load.Start(ctx, load.Options{URL: h.URL(), Mix: mix})
	fmt.Fprintf(d.out, "\nload on %s: from now on %d connections GET, %d POST, %d wait for slow answers, %d send slow "+
		"uploads, %d hold a WebSocket\n", h.Name, mix.Get, mix.Post, mix.Slow, mix.Upload, mix.WebSocket)
	return users, users.WaitAnswers(ctx, load.KindGet, 100)
}

// whole fails when a request was lost, or there was none.
func whole(r load.Report) error {
	if r.Failed > 0 || r.Requests == 0 {
		return fmt.Errorf("%d of %d requests failed", r.Failed, r.Requests)
	}
	return nil
}

// note adds a deployment to the table, and fails when it did not end as it should.
func (d *demo) note(v version, result *lab.Result) error {
	var hosts []struct {
		Release string `json:"release"`
		Port    uint16 `json:"active-port"`
		Live    int64  `json:"live-ms"`
		Boot    int64  `json:"boot-ms"`
		Drained int64  `json:"drained-ms"`
	}
	if err := json.Unmarshal([]byte(result.Outputs["hosts"]), &hosts); err != nil || len(hosts) != 1 {
		return fmt.Errorf("output hosts %q: %w", result.Outputs["hosts"], err)
	}
	h := hosts[0]
	r := row{Release: fmt.Sprintf("%s %s", v.Version, h.Release), Outcome: result.Outputs["outcome"]}
	want := "deployed"
	if v.Broken != "" {
		want = "failed"
		r.Outcome = "refused, the version before serves"
	} else {
		r.Port, r.Live, r.Boot, r.Drained = int(h.Port), millis(h.Live), millis(h.Boot), millis(h.Drained)
	}
	d.rows = append(d.rows, r)
	if got := result.Outputs["outcome"]; got != want {
		return fmt.Errorf("%s: outcome %q, want %q", v.Version, got, want)
	}
	return nil
}

// isTerminal tells a terminal, which shows colours, from a file or a pipe.
func isTerminal(f *os.File) bool {
	info, err := f.Stat()
	return err == nil && info.Mode()&os.ModeCharDevice != 0
}

func millis(ms int64) time.Duration { return time.Duration(ms) * time.Millisecond }
