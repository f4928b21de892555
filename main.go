// Deploy-action puts a release of an HTTP application behind nginx on a host, over SSH, without losing a request. It is a GitHub Action;
// see action.yml for what it takes and gives, and internal/deploy for what it does.
package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"syscall"
	"time"

	"github.com/clothesme/deploy-action/internal/cloud"
	"github.com/clothesme/deploy-action/internal/deploy"
	"github.com/clothesme/deploy-action/internal/inputs"
	"github.com/clothesme/deploy-action/internal/report"
	"github.com/clothesme/deploy-action/remote"
)

// version is set by the linker in a release's image.
var version = "dev"

func main() {
	begin := time.Now()
	// A log that nobody reads any more must not end a deployment half-way.
	signal.Ignore(syscall.SIGPIPE)
	ctx, _ := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	// The runner kills 10 s after its first signal; a hang must not take the log's last lines with it.
	context.AfterFunc(ctx, func() { time.AfterFunc(lastWord, func() { os.Exit(exitFailed) }) })
	os.Exit(run(ctx, os.Getenv, os.Stdout, begin))
}

const (
	exitOK     = 0
	exitFailed = 1
	lastWord   = 9 * time.Second
)

// run is the whole program: a deployment that began at begin, reported to stdout and to the runner's files. It returns the exit code.
func run(ctx context.Context, getenv func(string) string, stdout io.Writer, begin time.Time) int {
	rep := report.New(stdout, getenv)
	in, err := inputs.Parse(getenv)
	rep.Mask(in.Secrets()...)
	if err != nil {
		rep.Error("Invalid inputs", err.Error())
		return finish(rep, &deploy.Result{Outcome: deploy.Failed, Duration: time.Since(begin)}, err)
	}
	rep.Debug("deploy-action " + version)
	result, err := deploy.New(in, rep, deploy.SSH(remote.Config{
		Signer: in.Signer, HostKeys: in.HostKeys, ConnectTimeout: in.ConnectTimeout,
	}), deploy.S3(cloud.Config{Region: in.AWSRegion, Endpoint: in.S3Endpoint}), begin).Run(ctx)
	if err != nil {
		var failure *deploy.Failure
		title := "Deployment failed"
		if errors.As(err, &failure) {
			title = fmt.Sprintf("Deployment failed: %s", failure.Step)
		}
		rep.Error(title, err.Error())
	}
	return finish(rep, result, err)
}

// finish sets the outputs and the summary, which later steps and people read also after a failure.
func finish(rep *report.Report, result *deploy.Result, cause error) int {
	err := deploy.Publish(rep, result, cause)
	if err != nil {
		rep.Error("Outputs", err.Error())
	}
	if cause != nil || err != nil {
		return exitFailed
	}
	return exitOK
}
