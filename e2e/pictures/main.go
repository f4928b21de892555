// Pictures makes the pictures of the documents out of real deployments: a recording of one under
// load, and the summary page of a run that deployed, one that failed and one that was taken back,
// as GitHub would render them. `make pictures` runs it; it needs Chromium and mermaid.
//
//	pictures MERMAID FOLDER
package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/signal"
	"path/filepath"
	"syscall"

	"github.com/clothesme/deploy-action/e2e/lab"
	"github.com/clothesme/deploy-action/e2e/load"
	"github.com/clothesme/deploy-action/e2e/site"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if len(os.Args) != 3 {
		fmt.Fprintln(os.Stderr, "usage: pictures MERMAID FOLDER")
		os.Exit(2) //nolint:gocritic // nothing is left to be done by stop
	}
	if err := run(ctx, os.Args[1], os.Args[2]); err != nil {
		fmt.Fprintln(os.Stderr, "pictures:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context, mermaid, folder string) (err error) {
	l, err := lab.Open(ctx, lab.Options{Out: os.Stdout})
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, l.Close()) }()
	s, err := site.New(ctx, l)
	if err != nil {
		return err
	}
	if _, err := s.Deploy(ctx, site.Release{Version: "v1"}, nil); err != nil {
		return err
	}
	users := load.Start(ctx, load.Options{URL: s.Hosts[0].URL()})
	if err := users.WaitAnswers(ctx, load.KindGet, 100); err != nil {
		return err
	}
	tape := &recording{load: users}
	deployed, err := s.Deploy(ctx, site.Release{Version: "v2"}, tape.line)
	if err != nil {
		return err
	}
	if report := users.Stop(ctx); report.Failed > 0 {
		return fmt.Errorf("%s\n%s", report, report.Details())
	}
	if err := os.WriteFile(filepath.Join(folder, "deployment.svg"), tape.svg(), 0o644); err != nil {
		return err
	}
	failed, err := s.Deploy(ctx, site.Release{Version: "v3", Broken: "exit-at-boot"}, nil)
	if err != nil {
		return err
	}
	restored, err := s.Deploy(ctx, site.Release{Version: "v4", Broken: "bad-after=1"}, nil)
	if err != nil {
		return err
	}
	for want, result := range map[string]*lab.Result{"deployed": deployed, "failed": failed, "restored": restored} {
		if got := result.Outputs["outcome"]; got != want {
			return fmt.Errorf("outcome %q, want %q\n%s", got, want, result.Log())
		}
		if err := photograph(ctx, mermaid, result.Summary, filepath.Join(folder, want+".png")); err != nil {
			return fmt.Errorf("page of a run that %s: %w", want, err)
		}
	}
	return nil
}
