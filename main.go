// Deploy-action puts a release of an HTTP application behind nginx on a host, over SSH, without
// losing a request. It is a GitHub Action, and a command for everywhere else; see action.yml for
// what it takes and gives, and internal/deploy for what it does.
package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"github.com/clothesme/deploy-action/internal/deploy"
	"github.com/clothesme/deploy-action/internal/host"
	"github.com/clothesme/deploy-action/internal/inputs"
	"github.com/clothesme/deploy-action/internal/outcome"
	"github.com/clothesme/deploy-action/internal/report"
	"github.com/clothesme/deploy-action/remote"
)

// version is set by the linker in a release's image. The log begins with it.
var version = "dev"

func main() {
	begin := time.Now()
	// A log that nobody reads any more must not end a deployment half-way.
	signal.Ignore(syscall.SIGPIPE)
	ctx, _ := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	flags, err := inputs.ParseArgs(os.Args[1:])
	if flags.Help || flags.Version || err != nil {
		os.Exit(tell(flags, err, os.Stdout))
	}
	if os.Getenv("GITHUB_ACTIONS") != "true" {
		signals := make(chan os.Signal, 2)
		signal.Notify(signals, os.Interrupt, syscall.SIGTERM)
		go atTheSecond(signals, func() { os.Exit(exitFailed) })
		os.Exit(runOutside(ctx, flags, os.Getenv, os.Stdout, begin))
	}
	// The runner kills 10 s after its first signal; a hang must not take the log's last lines with
	// it.
	context.AfterFunc(ctx, func() { time.AfterFunc(lastWord, func() { os.Exit(exitFailed) }) })
	getenv := flags.Getenv(os.Getenv, false)
	if filepath.Base(os.Args[0]) == postName {
		os.Exit(post(ctx, getenv, os.Stdout, begin))
	}
	os.Exit(run(ctx, getenv, os.Stdout, begin))
}

// postName is the name under which action.yml starts the program once the job is over, whatever
// became of it.
const postName = "deploy-action-post"

const (
	exitOK     = 0
	exitFailed = 1
	exitUsage  = 2
	lastWord   = 9 * time.Second
)

// run is the whole program: a deployment that began at begin, reported to stdout and to the
// runner's files. It returns the exit code.
func run(ctx context.Context, getenv func(string) string, stdout io.Writer, begin time.Time) int {
	rep := report.New(stdout, getenv)
	rep.Info("deploy-action " + version)
	in, err := inputs.Parse(getenv)
	return perform(ctx, rep, in, err, begin)
}

// perform deploys what the inputs say, unless err says what is wrong with them.
func perform(ctx context.Context, rep *report.Report, in *inputs.Inputs, err error, begin time.Time) int {
	rep.Mask(in.Secrets()...)
	if err != nil {
		refusal := outcome.Refuse(err)
		rep.Error("Invalid inputs", refusal.Error())
		return finish(rep, &outcome.Result{Outcome: outcome.Failed, Duration: time.Since(begin)}, refusal)
	}
	result, err := deployment(in, rep, begin).Run(ctx)
	if err != nil {
		tellFailure(rep, in.Operation, err)
	}
	code := finish(rep, result, err)
	var failure *outcome.Failure
	if errors.As(err, &failure) && failure.ExitCode != 0 {
		return failure.ExitCode
	}
	return code
}

// tellFailure makes the run's one annotation of a failure. What is too long for it is in the log before that.
func tellFailure(rep *report.Report, operation inputs.Operation, err error) {
	var failure *outcome.Failure
	title, text := failedTitle(operation), err.Error()
	if errors.As(err, &failure) {
		title += ": " + failure.Step
		if text = failure.Short(); text != err.Error() {
			rep.Info(err.Error())
		}
	}
	rep.Error(title, text)
}

// failedTitle is the annotation's: of a deployment, or of the operation by its name.
func failedTitle(operation inputs.Operation) string {
	if operation == inputs.Deploy {
		return "Deployment failed"
	}
	return strings.ToUpper(string(operation[:1])) + string(operation[1:]) + " failed"
}

func deployment(in *inputs.Inputs, rep *report.Report, begin time.Time) *deploy.Deployment {
	account := deploy.Account(in, rep)
	dial := host.SSH(remote.Config{
		Signer: in.Signer, Login: deploy.Login(in, account), HostKeys: in.HostKeys, Jumps: in.Jumps,
		Tunnel: deploy.Tunnel(in, account), Pin: deploy.Pin(in, account), ConnectTimeout: in.ConnectTimeout,
	}, deploy.NewDoor(in, rep, account))
	return deploy.New(in, rep, dial, deploy.S3, begin).As(account)
}

// post is the post step. It has something to do only when run was killed before its end: by the
// runner after a cancellation that took too long, or for want of memory.
func post(ctx context.Context, getenv func(string) string, stdout io.Writer, begin time.Time) int {
	saved := func(name string) string { return getenv("STATE_" + name) }
	if !isLeft(saved) {
		return exitOK
	}
	rep := report.New(stdout, getenv)
	rep.Info("deploy-action " + version)
	in, err := inputs.Parse(getenv)
	rep.Mask(in.Secrets()...)
	tidy(ctx, rep, in, err, begin, saved)
	return exitOK
}

// isLeft tells by what a run has saved whether it began to change a host and did not end, or left a
// port open.
func isLeft(saved func(name string) string) bool {
	return isBegun(saved) || saved(deploy.StateOpened) != ""
}

func isBegun(saved func(name string) string) bool {
	return saved(deploy.StateBegun) != "" && saved(deploy.StateEnded) == ""
}

// tidy puts right what is left of a run, unless err says that its inputs are wrong.
func tidy(ctx context.Context, rep *report.Report, in *inputs.Inputs, err error, begin time.Time,
	saved func(name string) string,
) {
	if opened := saved(deploy.StateOpened); err == nil && opened != "" {
		if shut := deploy.Shut(ctx, in, rep, deploy.Account(in, rep), opened); shut != nil {
			rep.Warn("Left open", shut.Error()+"\nthe next run takes it away")
		}
	}
	if err == nil && isBegun(saved) {
		err = deploy.Resume(in, saved(deploy.StateHosts))
	}
	if err == nil && isBegun(saved) {
		in.Operation, in.Timeout = inputs.Tidy, postLimit
		// one host does not take all the time that there is for the others
		in.ConnectTimeout, in.LockTimeout = min(in.ConnectTimeout, postLimit/4), min(in.LockTimeout, postLimit/4)
		err = deployment(in, rep, begin).Tidy(ctx, saved)
	}
	if err != nil {
		rep.Warn("The deployment was cut off", fmt.Sprintf("and what it left could not be tidied up; the next "+
			"deployment does that\n%v", err))
	}
}

// postLimit is well within the five minutes that a cancelled job has for its post steps
// (actions/runner PipelineConstants.cs).
const postLimit = 2 * time.Minute

// finish sets the outputs and the summary, which later steps and people read also after a failure.
func finish(rep *report.Report, result *outcome.Result, cause error) int {
	err := outcome.Publish(rep, result, cause)
	if err != nil {
		rep.Error("Outputs", err.Error())
	}
	if cause != nil || err != nil {
		return exitFailed
	}
	return exitOK
}
