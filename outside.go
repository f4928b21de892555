package main

import (
	"context"
	_ "embed"
	"io"
	"os"
	"strings"
	"time"

	"github.com/clothesme/deploy-action/internal/inputs"
	"github.com/clothesme/deploy-action/internal/report"
)

// What the program is without GitHub: a command whose flags are the inputs, for GitLab, Jenkins and
// a terminal.

//go:embed action.yml
var actionYML string

// tell answers a command line that asks for no deployment, or is wrong.
func tell(flags *inputs.Args, err error, stdout io.Writer) int {
	rep := report.New(stdout, func(string) string { return "" }, report.Outside(""))
	switch {
	case err != nil:
		rep.Error("wrong command line", err.Error())
		return exitUsage
	case flags.Help:
		rep.Info(strings.TrimSpace(inputs.Help(actionYML)))
	default:
		rep.Info("deploy-action " + version)
	}
	return exitOK
}

// runOutside is run where there is no runner, and so no post step: what a deployment leaves that is
// ended by a signal is tidied up before the process ends.
func runOutside(ctx context.Context, flags *inputs.Args, getenv func(string) string, stdout io.Writer,
	begin time.Time,
) int {
	rep := report.New(stdout, getenv, report.Outside(flags.Output))
	rep.Info("deploy-action " + version)
	if err := rep.Ready(); err != nil {
		rep.Error("Invalid flags", "--output: "+err.Error())
		return exitUsage
	}
	if names := flags.Variables(getenv); len(names) > 0 {
		rep.Info("from the environment: " + strings.Join(names, ", "))
	}
	in, err := inputs.ParseOutside(flags.Getenv(getenv, true))
	code := perform(ctx, rep, in, err, begin)
	if isLeft(rep.Saved) {
		ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), postLimit)
		defer cancel()
		tidy(ctx, rep, in, nil, begin, rep.Saved)
	}
	return code
}

// atTheSecond calls end once somebody who has asked for the end asks again: taking back a
// deployment takes seconds, and what is left the next one puts right.
func atTheSecond(signals <-chan os.Signal, end func()) {
	<-signals
	<-signals
	end()
}
