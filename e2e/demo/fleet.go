package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"strconv"
	"strings"
	"sync"

	"github.com/clothesme/deploy-action/e2e/lab"
	"github.com/clothesme/deploy-action/e2e/load"
	"github.com/clothesme/deploy-action/e2e/site"
)

// The releases of the second act. The file is on the host where the second one is to be bad.
var (
	onThree = version{site.Release{Version: "v5"}, "the same site on three hosts, two of which are new"}
	onTwo   = version{
		site.Release{Version: "v6", Broken: "bad-when=" + ailment, With: map[string]string{"health-timeout": "5s"}},
		"fine on two of the three hosts, and never healthy on web-2. The error that follows is expected: all three " +
			"go on with v5",
	}
)

const ailment = "/home/ubuntu/bad"

// theBadOne is the place of the host where the last release is bad.
const theBadOne = 1

// fleetMix is the load of each of three hosts that share this machine.
var fleetMix = load.Mix{Get: 12, Post: 3, Slow: 2, Upload: 2, WebSocket: 1}

// secondAct is one decision for three hosts.
func (d *demo) secondAct(ctx context.Context, shop *site.Site) error {
	fmt.Fprintln(d.out, "\n=== Second act: three hosts, one decision")
	if err := shop.More(ctx, 2); err != nil {
		return err
	}
	result, err := d.deploy(ctx, shop, onThree)
	if err != nil {
		return err
	}
	if got := result.Outputs["outcome"]; got != "deployed" {
		return fmt.Errorf("%s: outcome %q, want \"deployed\"", onThree.Version, got)
	}
	good := result.Outputs["release"]
	var users []*load.Load
	for _, h := range shop.Hosts {
		visitors, err := d.visit(ctx, h, fleetMix)
		if err != nil {
			return err
		}
		users = append(users, visitors)
	}
	bad := shop.Hosts[theBadOne]
	if _, err := bad.Exec(ctx, "touch "+ailment); err != nil {
		return err
	}
	if result, err = d.deploy(ctx, shop, onTwo); err != nil {
		return err
	}
	reports := make([]load.Report, len(users))
	var ends sync.WaitGroup
	for i, u := range users {
		ends.Go(func() { reports[i] = u.Stop(ctx) })
	}
	ends.Wait()
	return d.decided(shop.Hosts, good, result, reports)
}

// decided shows what became of each host, and fails when one of them has served another release than
// the good one, or has lost a request.
func (d *demo) decided(hosts []*lab.Host, good string, result *lab.Result, reports []load.Report) error {
	var cells [][]string
	errs := []error{refused(result, hosts[theBadOne])}
	for i, r := range reports {
		others := answers(r) - r.ByRelease[good]
		why := "kept " + onThree.Version + ", since " + hosts[theBadOne].Name + " is bad"
		if i == theBadOne {
			why = onTwo.Version + " never got healthy here"
		}
		cells = append(cells, []string{
			hosts[i].Name, strconv.Itoa(r.ByRelease[good]), strconv.Itoa(others), strconv.Itoa(r.Failed), why,
		})
		if others > 0 {
			errs = append(errs, fmt.Errorf("%s: %d answers came from another release than %s", hosts[i].Name, others, good))
		}
		d.load.Requests, d.load.Failed = d.load.Requests+r.Requests, d.load.Failed+r.Failed
		if err := whole(r); err != nil {
			errs = append(errs, fmt.Errorf("%s: %w", hosts[i].Name, err))
		}
	}
	fmt.Fprintf(d.out, "\n%s\n", table([]string{
		"host", "answers by " + onThree.Version, "by another", "failed", "why",
	}, cells))
	for _, r := range reports {
		_, _ = io.WriteString(d.out, r.Details())
	}
	return errors.Join(errs...)
}

// answers are all good ones, whichever release they came from.
func answers(r load.Report) (n int) {
	for _, of := range r.ByRelease {
		n += of
	}
	return n
}

// refused fails unless the run did, and said that it was for this host alone.
func refused(result *lab.Result, bad *lab.Host) error {
	if got := result.Outputs["outcome"]; got != "failed" {
		return fmt.Errorf("%s: outcome %q, want \"failed\"", onTwo.Version, got)
	}
	if !slices.ContainsFunc(result.Annotations(), func(a lab.Annotation) bool {
		return a.Level == "error" && strings.Contains(a.Message, "\nhost: ubuntu@"+bad.IP+"\nsite: unchanged")
	}) {
		return fmt.Errorf("%s: the error does not name %s", onTwo.Version, bad.Name)
	}
	return nil
}
