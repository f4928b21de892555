package deploy

import (
	"context"
	"errors"
	"testing"

	"github.com/clothesme/deploy-action/internal/host"
	"github.com/clothesme/deploy-action/internal/inputs"
	"github.com/clothesme/deploy-action/internal/outcome"
	"github.com/clothesme/deploy-action/internal/state"
	"github.com/clothesme/deploy-action/remote"
	"github.com/clothesme/deploy-action/scripts"
)

// The log's last word is where more is read: of that very failure, not of its step in general.
func TestAFailureNamesItsSection(t *testing.T) {
	web1, web2 := remote.Host{User: "u", Name: "web-1"}, remote.Host{User: "u", Name: "web-2"}
	said := func(code int) error { return &host.Error{Code: code, Reason: "no"} }
	for _, tt := range []struct {
		name      string
		operation inputs.Operation
		step      string
		cause     error
		want      outcome.Topic
	}{
		{
			name: "cancelled", step: "build", cause: &cutShort{context.Canceled, said(scripts.ExitBuild)},
			want: outcome.TopicOtherRun,
		},
		{name: "older", step: "order", cause: &state.OrderError{}, want: outcome.TopicOtherRun},
		{name: "too long", step: "build", cause: &cutShort{errDeadline, said(scripts.ExitBuild)}, want: outcome.TopicTime},
		{name: "no release", step: "choose", cause: &state.ChoiceError{}, want: outcome.TopicRollback},
		{name: "down", step: "up", cause: &downError{}, want: outcome.TopicDown},
		{name: "host key", step: "connect", cause: &remote.HostKeyError{}, want: outcome.TopicHostKey},
		{name: "port", step: "connect", cause: &host.DoorError{Err: errors.New("no")}, want: outcome.TopicDoor},
		{name: "key", step: "connect", cause: &remote.AuthError{}, want: outcome.TopicKey},
		{name: "login shell", step: "connect", cause: &host.ShellError{}, want: outcome.TopicLogin},
		{name: "no answer", step: "connect", cause: &remote.DialError{}, want: outcome.TopicNoAnswer},
		{name: "lost", step: "build", cause: &remote.LostError{Err: errors.New("cut")}, want: outcome.TopicLost},
		{name: "gone", step: "drain", cause: host.ErrGone, want: outcome.TopicLost},
		{name: "restarted", step: "start", cause: errRestarted, want: outcome.TopicLost},
		{name: "by its code", step: "health", cause: said(scripts.ExitDied), want: outcome.TopicEnds},
		{name: "by its step", step: "check", cause: said(scripts.ExitCheck), want: outcome.TopicHost},
		{name: "of HTTPS", step: "check", cause: &httpsError{errors.New("no")}, want: outcome.TopicHTTPS},
		{name: "of this side", step: "resolve", cause: errors.New("no such bucket"), want: outcome.TopicS3},
		{name: "neither", step: "plan", cause: errors.New("odd"), want: outcome.TopicTexts},
		{
			name: "the first of several hosts", step: "health", cause: errors.Join(
				&outcome.StepError{Step: "health", Host: web1, Err: said(scripts.ExitSilent)},
				&outcome.StepError{Step: "health", Host: web2, Err: said(scripts.ExitDied)}), want: outcome.TopicAnswer,
		},
		{
			name: "of a removal", operation: inputs.Remove, step: "site", cause: said(scripts.ExitNginx),
			want: outcome.TopicRemove,
		},
		{
			name: "of the page", operation: inputs.Maintenance, step: "maintenance", cause: said(scripts.ExitNotRouted),
			want: outcome.TopicMaintenance,
		},
		{
			name: "of a removal that has to wait", operation: inputs.Remove, step: "lock", cause: said(scripts.ExitLockBusy),
			want: outcome.TopicOtherRun,
		},
		{
			name: "of a removal's look at the host", operation: inputs.Remove, step: "check", cause: said(scripts.ExitCheck),
			want: outcome.TopicHost,
		},
	} {
		t.Run(tt.name, func(t *testing.T) {
			d := assemble(&run{in: &inputs.Inputs{Operation: tt.operation}})
			if got := d.outcomes.topic(step{name: tt.step}, tt.cause); got != tt.want {
				t.Errorf("the section is %q, want %q", got, tt.want)
			}
		})
	}
}

// Of a way back that was cut off nobody knows how far it came, however its command ended.
func TestTheSiteOfAWayBackThatWasCutOffIsUnknown(t *testing.T) {
	failed := &remote.ExitError{Code: 143}
	for _, tt := range []struct {
		undone error
		want   outcome.Site
	}{
		{failed, outcome.SiteSwitched},
		{&cutShort{errLate, failed}, outcome.SiteUnknown},
		{&remote.LostError{Started: true, Err: errLate}, outcome.SiteUnknown},
	} {
		if got := siteOf(&target{course: course{route: routeNew}, fate: fate{undone: tt.undone}}); got != tt.want {
			t.Errorf("%v: %q, want %q", tt.undone, got, tt.want)
		}
	}
}
