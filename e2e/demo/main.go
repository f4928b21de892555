// Demo shows the whole product on one machine: a real host in a container, a real FastAPI
// application, and four deployments under continuous load, of which the last is a broken release
// that must be refused. `make demo` runs it.
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
	fmt.Fprintln(d.out, closing(len(d.rows), d.load.Requests, d.load.Failed))
	if err != nil {
		os.Exit(1) //nolint:gocritic // nothing is left to be done by stop
	}
}

// demo is what one run of it gathers.
type demo struct {
	out     io.Writer
	colours bool // out shows them
	rows    []row
	load    load.Report
}

// version is a release of the example; the good ones become live.
type version struct {
	name   string
	broken string // what the file BROKEN says
	about  string // announces its deployment
}

var versions = []version{
	{"v1", "", "the first release, on a host that has none"},
	{"v2", "", "the next release, under load"},
	{"v3", "", "one more, back on the first port"},
	{
		"v4", "exit-at-boot",
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
		fmt.Fprintf(d.out, "\n=== %s: %s\n", v.name, v.about)
		result, err := shop.Deploy(ctx, v.name, v.broken, newPrinter(d.out, d.colours).line)
		if err == nil {
			err = context.Cause(ctx) // then the result is not the release's doing
		}
		if err != nil {
			return err
		}
		if err := d.note(v, result); err != nil {
			return err
		}
		if users == nil {
			users = load.Start(ctx, load.Options{URL: shop.Host.URL()})
			mix := load.DefaultMix
			fmt.Fprintf(d.out, "\nload: from now on %d connections GET, %d POST, %d wait for slow answers, %d send "+
				"slow uploads, %d hold a WebSocket\n",
				mix.Get, mix.Post, mix.Slow, mix.Upload, mix.WebSocket)
			if err := users.WaitAnswers(ctx, load.KindGet, 100); err != nil {
				return err
			}
		}
	}
	d.load = users.Stop(ctx)
	fmt.Fprintf(d.out, "\n%s\n%s%s", table(d.rows), stillOpen(d.load.WebSockets), d.load.Details())
	if d.load.Failed > 0 || d.load.Requests == 0 {
		return fmt.Errorf("%d of %d requests failed", d.load.Failed, d.load.Requests)
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
	r := row{Release: fmt.Sprintf("%s %s", v.name, h.Release), Outcome: result.Outputs["outcome"]}
	want := "deployed"
	if v.broken != "" {
		want = "failed"
		r.Outcome = "refused, the version before serves"
	} else {
		r.Port, r.Live, r.Boot, r.Drained = int(h.Port), millis(h.Live), millis(h.Boot), millis(h.Drained)
	}
	d.rows = append(d.rows, r)
	if got := result.Outputs["outcome"]; got != want {
		return fmt.Errorf("%s: outcome %q, want %q", v.name, got, want)
	}
	return nil
}

// isTerminal tells a terminal, which shows colours, from a file or a pipe.
func isTerminal(f *os.File) bool {
	info, err := f.Stat()
	return err == nil && info.Mode()&os.ModeCharDevice != 0
}

func millis(ms int64) time.Duration { return time.Duration(ms) * time.Millisecond }
